//go:build linux && !static

package onnx

import (
	"fmt"
	"sync"
	"unsafe"

	"clockwork/pkg/protocol"
)

// arena is the memory of one device: page frames, touched once, before they are used.
// Each frame is mapped either in backing or in the region of one mapping.
type arena struct {
	backing  *region
	pages    int
	pageSize int64

	mu      sync.Mutex
	used    []bool
	touched []bool // a frame that is not is in backing
}

// newArena returns an arena whose frames are touched, or are not yet.
func newArena(pages int, pageSize int64, touched bool) (*arena, error) {
	home, err := newRegion(int64(pages)*pageSize, touched)
	if err != nil {
		return nil, err
	}
	home.inLargePages()
	a := &arena{backing: home, pages: pages, pageSize: pageSize, used: make([]bool, pages), touched: make([]bool, pages)}
	for i := range a.touched {
		a.touched[i] = touched
	}
	return a, nil
}

// touch makes frames resident that are not.
func (a *arena) touch(frames []int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range frames {
		if a.touched[f] {
			continue
		}
		if err := touch(a.backing.bytes()[int64(f)*a.pageSize:][:a.pageSize]); err != nil {
			return err
		}
		a.touched[f] = true
	}
	return nil
}

// touchAll touches the frames one by one, so that whoever takes some waits for one at
// most.
func (a *arena) touchAll() {
	for f := range a.pages {
		if a.touch([]int{f}) != nil {
			return // who takes the frame is told
		}
	}
}

// take marks frames as used; on an error it marks none.
func (a *arena) take(frames []int) *protocol.Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, f := range frames {
		if f < 0 || f >= a.pages || a.used[f] {
			for _, taken := range frames[:i] {
				a.used[taken] = false
			}
			return protocol.Errorf(protocol.InvalidAction, "page %d is in use or not one of the device's %d", f, a.pages)
		}
		a.used[f] = true
	}
	return nil
}

func (a *arena) free(frames []int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range frames {
		a.used[f] = false
	}
}

func (a *arena) frame(f int) unsafe.Pointer { return unsafe.Add(a.backing.base, int64(f)*a.pageSize) }

// gather moves frames next to each other into a region. On an error all frames are back
// in backing.
func (a *arena) gather(view *region, frames []int) error {
	for i, f := range frames {
		if err := movePages(unsafe.Add(view.base, int64(i)*a.pageSize), a.frame(f), a.pageSize); err != nil {
			return joinFirst(err, a.scatter(view, frames[:i]))
		}
	}
	return nil
}

// scatter moves the frames of a region back to backing.
func (a *arena) scatter(view *region, frames []int) error {
	for i, f := range frames {
		if err := movePages(a.frame(f), unsafe.Add(view.base, int64(i)*a.pageSize), a.pageSize); err != nil {
			return err
		}
	}
	return nil
}

func joinFirst(err, second error) error {
	if second != nil {
		return fmt.Errorf("%w; then %w", err, second)
	}
	return err
}
