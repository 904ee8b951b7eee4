//go:build linux && !static

package onnx

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"clockwork/pkg/protocol"
)

// Levels of ORT's graph optimisation.
const (
	optimizeNothing = 0
	optimizeAll     = 99
)

// session is an OrtSession that runs only on the calling thread.
type session struct {
	lib     *ort
	handle  uintptr
	inputs  []port
	outputs []port
}

// port is a declared input or output. A dimension of -1 is open.
type port struct {
	name  string
	kind  int
	shape []int64
}

// newSession creates a session of a model. With save, the optimised graph is written to
// that path.
func newSession(lib *ort, model []byte, level int, save string) (*session, error) {
	options := uintptr(0)
	if err := lib.call(apiCreateSessionOptions, uintptr(unsafe.Pointer(&options))); err != nil {
		return nil, err
	}
	defer lib.release(apiReleaseSessionOptions, options)
	key, value := cString("session.intra_op.allow_spinning"), cString("0")
	shared, yes := cString("session.use_env_allocators"), cString("1")
	err := errors.Join(
		lib.call(apiSetIntraOpNumThreads, options, 1),
		lib.call(apiSetInterOpNumThreads, options, 1),
		lib.call(apiSetSessionExecutionMode, options, 0),
		lib.call(apiSetSessionLogSeverityLevel, options, logFatal),
		lib.call(apiSetGraphOptimizationLevel, options, uintptr(level)),
		lib.call(apiAddSessionConfigEntry, options, uintptr(unsafe.Pointer(key)), uintptr(unsafe.Pointer(value))),
		lib.call(apiAddSessionConfigEntry, options, uintptr(unsafe.Pointer(shared)), uintptr(unsafe.Pointer(yes))),
	)
	if err == nil && save != "" {
		path := cString(save)
		err = lib.call(apiSetOptimizedModelFilePath, options, uintptr(unsafe.Pointer(path)))
	}
	if err != nil {
		return nil, err
	}
	s := &session{lib: lib}
	err = lib.call(apiCreateSessionFromArray, lib.env, uintptr(unsafe.Pointer(unsafe.SliceData(model))), uintptr(len(model)),
		options, uintptr(unsafe.Pointer(&s.handle)))
	if err != nil {
		return nil, err
	}
	if s.inputs, err = s.ports(apiSessionGetInputCount, apiSessionGetInputName, apiSessionGetInputTypeInfo); err == nil {
		s.outputs, err = s.ports(apiSessionGetOutputCount, apiSessionGetOutputName, apiSessionGetOutputTypeInfo)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() { s.lib.release(apiReleaseSession, s.handle) }

func (s *session) ports(countSlot, nameSlot, typeSlot int) ([]port, error) {
	count := uintptr(0)
	if err := s.lib.call(countSlot, s.handle, uintptr(unsafe.Pointer(&count))); err != nil {
		return nil, err
	}
	ports := make([]port, count)
	for i := range ports {
		name, info := uintptr(0), uintptr(0)
		if err := s.lib.call(nameSlot, s.handle, uintptr(i), s.lib.allocator, uintptr(unsafe.Pointer(&name))); err != nil {
			return nil, err
		}
		ports[i].name = goString(name)
		if err := s.lib.call(apiAllocatorFree, s.lib.allocator, name); err != nil {
			return nil, err
		}
		if err := s.lib.call(typeSlot, s.handle, uintptr(i), uintptr(unsafe.Pointer(&info))); err != nil {
			return nil, err
		}
		tensorInfo := uintptr(0) // owned by info
		err := s.lib.call(apiCastTypeInfoToTensorInfo, info, uintptr(unsafe.Pointer(&tensorInfo)))
		if err == nil && tensorInfo == 0 {
			err = fmt.Errorf("%q is no tensor", ports[i].name)
		}
		if err == nil {
			ports[i].kind, ports[i].shape, err = s.lib.shapeOf(tensorInfo)
		}
		s.lib.release(apiReleaseTypeInfo, info)
		if err != nil {
			return nil, err
		}
	}
	return ports, nil
}

// shapeOf reads an OrtTensorTypeAndShapeInfo.
func (l *ort) shapeOf(info uintptr) (kind int, shape []int64, err error) {
	element, rank := int32(0), uintptr(0)
	if err := l.call(apiGetTensorElementType, info, uintptr(unsafe.Pointer(&element))); err != nil {
		return 0, nil, err
	}
	if err := l.call(apiGetDimensionsCount, info, uintptr(unsafe.Pointer(&rank))); err != nil {
		return 0, nil, err
	}
	shape = make([]int64, rank)
	err = l.call(apiGetDimensions, info, uintptr(unsafe.Pointer(unsafe.SliceData(shape))), rank)
	return int(element), shape, err
}

// newTensor creates an OrtValue over data, which must be outside the Go heap and outlive
// the value.
func (l *ort) newTensor(data []byte, kind int, shape []int64) (uintptr, error) {
	value := uintptr(0)
	err := l.call(apiCreateTensorWithData, l.memory, uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data)),
		uintptr(unsafe.Pointer(unsafe.SliceData(shape))), uintptr(len(shape)), uintptr(kind), uintptr(unsafe.Pointer(&value)))
	return value, err
}

func (l *ort) releaseValues(values []uintptr) {
	for _, v := range values {
		l.release(apiReleaseValue, v)
	}
}

// names are C strings, and the array of their addresses that ORT takes.
type names struct {
	text      []*byte
	addresses []uintptr
}

func newNames(list []string) names {
	n := names{make([]*byte, len(list)), make([]uintptr, len(list))}
	for i, s := range list {
		n.text[i] = cString(s)
		n.addresses[i] = uintptr(unsafe.Pointer(n.text[i]))
	}
	return n
}

// run runs the session on the calling thread. An output of 0 is allocated by ORT and
// then belongs to the caller; every other output is written in place.
func (s *session) run(inputNames names, inputs []uintptr, outputNames names, outputs []uintptr) error {
	err := s.lib.call(apiRun, s.handle, 0,
		uintptr(unsafe.Pointer(unsafe.SliceData(inputNames.addresses))), uintptr(unsafe.Pointer(unsafe.SliceData(inputs))), uintptr(len(inputs)),
		uintptr(unsafe.Pointer(unsafe.SliceData(outputNames.addresses))), uintptr(len(outputs)), uintptr(unsafe.Pointer(unsafe.SliceData(outputs))))
	runtime.KeepAlive(inputNames.text)
	runtime.KeepAlive(outputNames.text)
	return err
}

// resultShape returns the element type and shape of a tensor that a run produced.
func (l *ort) resultShape(value uintptr) (protocol.DataType, []int64, error) {
	info := uintptr(0)
	if err := l.call(apiGetTensorTypeAndShape, value, uintptr(unsafe.Pointer(&info))); err != nil {
		return "", nil, err
	}
	defer l.release(apiReleaseTensorInfo, info)
	kind, shape, err := l.shapeOf(info)
	return elementType(kind), shape, err
}
