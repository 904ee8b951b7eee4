//go:build linux && !static

package onnx

import "golang.org/x/sys/unix"

const callsArch = unix.AUDIT_ARCH_AARCH64

// foreignCalls is above all system call numbers.
const foreignCalls = 0x40000000

var alsoForbidden = []uint32{unix.SYS_RENAMEAT}
