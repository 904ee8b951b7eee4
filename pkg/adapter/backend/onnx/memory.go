//go:build linux && !static

package onnx

import (
	"fmt"
	"os"
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
		r.inLargePages()
		if err := touch(r.bytes()); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

// newShared returns a file in memory of size bytes, for newRegion's like in another
// process, and all of its memory is there. Neither side can change its length: a side
// that did would end the other.
func newShared(name string, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make shared memory: %w", err)
	}
	file := os.NewFile(uintptr(fd), name)
	if err = unix.Fallocate(fd, 0, 0, max(size, 1)); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("take %d bytes of shared memory: %w", size, err)
	}
	return file, nil
}

// sealWrites makes the memory of a file constant for ever, also for other processes that
// have the file. It is not mapped for writing.
func sealWrites(file *os.File) error {
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SEAL); err != nil {
		return fmt.Errorf("seal shared memory: %w", err)
	}
	return nil
}

// mapShared maps size bytes of a file that newShared made, which its maker may not have:
// then it is refused. The mapping outlives the file's handle.
func mapShared(file *os.File, size int64, write bool) (*region, error) {
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	var stat unix.Stat_t
	if err == nil {
		err = unix.Fstat(int(file.Fd()), &stat)
	}
	if err != nil {
		return nil, fmt.Errorf("look at shared memory: %w", err)
	}
	if size < 1 || stat.Size < size || seals&unix.F_SEAL_SHRINK == 0 {
		return nil, fmt.Errorf("map %d bytes of shared memory: it has %d, seals %#x", size, stat.Size, seals)
	}
	access := unix.PROT_READ
	if write {
		access |= unix.PROT_WRITE
	}
	mapping, err := unix.MmapPtr(int(file.Fd()), 0, nil, uintptr(size), access, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of shared memory: %w", size, err)
	}
	return &region{base: mapping, size: size, mapping: mapping, mapped: uintptr(size)}, nil
}

// pageBytes is the smallest page size of the machines that ORT runs on.
const pageBytes = 4096

func (r *region) bytes() []byte { return unsafe.Slice((*byte)(r.base), r.size) }

// inLargePages requests large pages, which the kernel may refuse.
func (r *region) inLargePages() { _ = unix.Madvise(r.bytes(), unix.MADV_HUGEPAGE) }

// touch makes memory resident that holds nothing but zeros.
func touch(b []byte) error {
	if err := unix.Madvise(b, unix.MADV_POPULATE_WRITE); err == nil {
		return nil
	} else if err == unix.ENOMEM || err == unix.EFAULT {
		return fmt.Errorf("bring in %d bytes: %w", len(b), err)
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
