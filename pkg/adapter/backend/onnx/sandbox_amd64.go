//go:build linux && !static

package onnx

import "golang.org/x/sys/unix"

const callsArch = unix.AUDIT_ARCH_X86_64

// foreignCalls is the number from which on calls are those of another ABI.
const foreignCalls = 0x40000000

var alsoForbidden = []uint32{
	unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_UNLINK, unix.SYS_RENAME, unix.SYS_RENAMEAT, unix.SYS_LINK, unix.SYS_SYMLINK,
	unix.SYS_MKDIR, unix.SYS_RMDIR, unix.SYS_MKNOD, unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN,
}
