//go:build linux && !static && (amd64 || arm64)

package onnx

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sandbox drops, for all threads of this process and permanently, privileges that the
// model check does not need: starting processes or programs, using the network,
// signalling or inspecting other processes, changing files, and gaining privileges. The
// process may still read files, create threads, and write to its open files. This is a
// deny list and thus no complete sandbox: it makes an exploit of the runtime harder, not
// harmless.
//
// On a kernel without seccomp nothing is restricted; the child's limits still apply.
func sandbox() error {
	runtime.LockOSThread() // installing a filter requires no_new_privs on the same thread
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new rights: %w", err)
	}
	code := sandboxFilter(uint32(os.Getpid()))
	program := unix.SockFprog{Len: uint16(len(code)), Filter: unsafe.SliceData(code)}
	stuck, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(code)
	switch {
	case errors.Is(errno, unix.ENOSYS) || errors.Is(errno, unix.EINVAL):
		return nil
	case errno != 0:
		return fmt.Errorf("filter system calls: %w", errno)
	case stuck != 0:
		return fmt.Errorf("filter system calls: thread %d has a filter of its own", stuck)
	}
	return nil
}

// forbidden are the system calls that fail with EPERM on all architectures;
// alsoForbidden holds those of this one.
var forbidden = append([]uint32{
	// Programs, sessions and namespaces.
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_SETSID, unix.SYS_SETPGID, unix.SYS_SETNS, unix.SYS_UNSHARE,
	// The network, and system calls by way of io_uring.
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_IO_URING_SETUP,
	// Other processes.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD,
	unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
	// Files.
	unix.SYS_UNLINKAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_MKDIRAT, unix.SYS_MKNODAT,
	unix.SYS_TRUNCATE, unix.SYS_FTRUNCATE, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_CHROOT, unix.SYS_OPEN_BY_HANDLE_AT,
	// The kernel.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
}, alsoForbidden...)

// ofSelf are the system calls whose first argument must be 0 or this process.
var ofSelf = []uint32{unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_PRLIMIT64}

// Offsets in seccomp_data, the filter's input.
const (
	callNumber = 0
	callArch   = 4
	callFirst  = 16 // the low half of the first argument
)

const (
	allow  = unix.SECCOMP_RET_ALLOW
	refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	absent = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// sandboxFilter returns the filter, a BPF program. A comparing instruction skips the
// given number of following instructions, if equal and if not.
func sandboxFilter(pid uint32) []unix.SockFilter {
	p := []unix.SockFilter{
		loadAt(callArch), equal(callsArch, 1, 0), answer(unix.SECCOMP_RET_KILL_PROCESS),
		loadAt(callNumber), {Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: foreignCalls, Jt: 0, Jf: 1}, answer(refuse),
	}
	for _, call := range forbidden {
		p = append(p, equal(call, 0, 1), answer(refuse))
	}
	for _, call := range ofSelf {
		p = append(p, equal(call, 0, 5), loadAt(callFirst), equal(pid, 1, 0), equal(0, 0, 1), answer(allow), answer(refuse))
	}
	return append(p,
		// The filter cannot see the flags of clone3; with ENOSYS the C library falls
		// back to clone.
		equal(unix.SYS_CLONE3, 0, 1), answer(absent),
		equal(unix.SYS_CLONE, 0, 4), loadAt(callFirst),
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.CLONE_THREAD, Jt: 0, Jf: 1}, answer(allow), answer(refuse),
		answer(allow))
}

func loadAt(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func equal(value uint32, then, otherwise uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jt: then, Jf: otherwise}
}

func answer(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}
