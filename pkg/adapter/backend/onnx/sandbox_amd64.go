//go:build linux && !static

package onnx

import "golang.org/x/sys/unix"

const callsArch = unix.AUDIT_ARCH_X86_64

// foreignCalls is the first system call number of another ABI (x32).
const foreignCalls = 0x40000000

var alsoForbidden = []uint32{
	unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_UNLINK, unix.SYS_RENAME, unix.SYS_RENAMEAT, unix.SYS_LINK, unix.SYS_SYMLINK,
	unix.SYS_MKDIR, unix.SYS_RMDIR, unix.SYS_MKNOD, unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN,
}
