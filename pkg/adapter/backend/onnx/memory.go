//go:build linux && !static

package onnx

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the alignment of memory, in bytes, so that the kernel can back it with
// large pages and move whole page tables.
const hugePage = 2 << 20

// region is memory outside the Go heap, aligned to hugePage.
type region struct {
	base    unsafe.Pointer
	size    int64
	mapping unsafe.Pointer
	mapped  uintptr
}

// newRegion maps size bytes; touched makes every page resident at once.
func newRegion(size int64, touched bool) (*region, error) {
	size = (max(size, 1) + pageBytes - 1) &^ (pageBytes - 1)
	mapped := uintptr(size) + hugePage
	mapping, err := unix.MmapPtr(-1, 0, nil, mapped, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", size, err)
	}
	skip := -uintptr(mapping) & (hugePage - 1)
	r := &region{base: unsafe.Add(mapping, skip), size: size, mapping: mapping, mapped: mapped}
	if touched {
		if err := r.touch(); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

// pageBytes is the smallest page size of the machines that ORT runs on.
const pageBytes = 4096

func (r *region) bytes() []byte { return unsafe.Slice((*byte)(r.base), r.size) }

// touch requests large pages, which the kernel may refuse, and makes every page
// resident.
func (r *region) touch() error {
	b := r.bytes()
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	if err := unix.Madvise(b, unix.MADV_POPULATE_WRITE); err == nil {
		return nil
	} else if err == unix.ENOMEM || err == unix.EFAULT {
		return fmt.Errorf("bring in %d bytes: %w", r.size, err)
	}
	for i := 0; i < len(b); i += pageBytes { // before Linux 5.14
		b[i] = 0
	}
	return nil
}

func (r *region) close() { _ = unix.MunmapPtr(r.mapping, r.mapped) }

// movePages moves size bytes of memory from one address to another by changing page
// tables, without copying. The source stays mapped, and empty.
func movePages(to, from unsafe.Pointer, size int64) error {
	_, err := unix.MremapPtr(from, uintptr(size), to, uintptr(size), unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED|unix.MREMAP_DONTUNMAP)
	if err != nil {
		return fmt.Errorf("move %d bytes (Linux 5.7 or later is needed): %w", size, err)
	}
	return nil
}
