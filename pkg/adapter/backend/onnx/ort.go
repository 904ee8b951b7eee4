//go:build linux && !static

package onnx

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Slots of the function table OrtApi, version 17. The table only grows at its end, so
// the slots are the same in every later library.
const (
	apiGetErrorCode               = 1
	apiGetErrorMessage            = 2
	apiCreateEnv                  = 3
	apiCreateSessionFromArray     = 8
	apiRun                        = 9
	apiCreateSessionOptions       = 10
	apiSetOptimizedModelFilePath  = 11
	apiSetSessionExecutionMode    = 13
	apiSetSessionLogSeverityLevel = 22
	apiSetGraphOptimizationLevel  = 23
	apiSetIntraOpNumThreads       = 24
	apiSetInterOpNumThreads       = 25
	apiSessionGetInputCount       = 30
	apiSessionGetOutputCount      = 31
	apiSessionGetInputTypeInfo    = 33
	apiSessionGetOutputTypeInfo   = 34
	apiSessionGetInputName        = 36
	apiSessionGetOutputName       = 37
	apiCreateTensorWithData       = 49
	apiGetTensorMutableData       = 51
	apiCastTypeInfoToTensorInfo   = 55
	apiGetTensorElementType       = 60
	apiGetDimensionsCount         = 61
	apiGetDimensions              = 62
	apiGetTensorTypeAndShape      = 65
	apiCreateCPUMemoryInfo        = 69
	apiAllocatorFree              = 76
	apiGetDefaultAllocator        = 78
	apiReleaseStatus              = 93
	apiReleaseSession             = 95
	apiReleaseValue               = 96
	apiReleaseTypeInfo            = 98
	apiReleaseTensorInfo          = 99
	apiReleaseSessionOptions      = 100
	apiAddSessionConfigEntry      = 130
	apiCreateAndRegisterAllocator = 144

	apiSlots   = 145
	apiVersion = 17
)

const logFatal = 4

// ort is an opened ONNX Runtime. It stays open until the process ends: the library does
// not guarantee that it can be closed and opened again.
type ort struct {
	version   string
	functions *[apiSlots]uintptr
	env       uintptr
	memory    uintptr // OrtMemoryInfo of plain host memory
	allocator uintptr
}

var opened = struct {
	sync.Mutex
	byPath map[string]*ort
}{byPath: make(map[string]*ort)}

// openORT opens the library at path, once in a process.
func openORT(path string) (*ort, error) {
	opened.Lock()
	defer opened.Unlock()
	if lib := opened.byPath[path]; lib != nil {
		return lib, nil
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("open ONNX Runtime: %w", err)
	}
	lib, err := startORT(handle)
	if err != nil {
		return nil, fmt.Errorf("open ONNX Runtime %s: %w", path, err)
	}
	opened.byPath[path] = lib
	return lib, nil
}

func startORT(handle uintptr) (*ort, error) {
	get, err := purego.Dlsym(handle, "OrtGetApiBase")
	if err != nil {
		return nil, err
	}
	base, _, _ := purego.SyscallN(get)
	if base == 0 {
		return nil, errors.New("it has no API")
	}
	entries := (*[2]uintptr)(pointer(base)) // GetApi, GetVersionString
	version, _, _ := purego.SyscallN(entries[1])
	lib := &ort{version: goString(version)}
	api, _, _ := purego.SyscallN(entries[0], apiVersion)
	if api == 0 {
		return nil, fmt.Errorf("version %s is too old; 1.%d is needed", lib.version, apiVersion)
	}
	lib.functions = (*[apiSlots]uintptr)(pointer(api))
	id := cString("clockwork")
	if err := lib.call(apiCreateEnv, logFatal, uintptr(unsafe.Pointer(id)), uintptr(unsafe.Pointer(&lib.env))); err != nil {
		return nil, err
	}
	const arenaAllocator, defaultMemory = 1, 0
	if err := lib.call(apiCreateCPUMemoryInfo, arenaAllocator, defaultMemory, uintptr(unsafe.Pointer(&lib.memory))); err != nil {
		return nil, err
	}
	// One arena for the sessions of all models: of one device at most one executes, and what
	// one has used is warm for the next.
	if err := lib.call(apiCreateAndRegisterAllocator, lib.env, lib.memory, 0); err != nil {
		return nil, err
	}
	return lib, lib.call(apiGetDefaultAllocator, uintptr(unsafe.Pointer(&lib.allocator)))
}

// call calls a function that returns an OrtStatus, which it converts to an error. The
// arguments' targets stay alive until it returns.
//
//go:uintptrescapes
func (l *ort) call(slot int, args ...uintptr) error {
	status, _, _ := purego.SyscallN(l.functions[slot], args...)
	if status == 0 {
		return nil
	}
	code, _, _ := purego.SyscallN(l.functions[apiGetErrorCode], status)
	message, _, _ := purego.SyscallN(l.functions[apiGetErrorMessage], status)
	err := &ortError{int32(code), goString(message)}
	l.release(apiReleaseStatus, status)
	return err
}

// ortError is why a call failed: an OrtErrorCode, and a message that may quote a hostile file.
type ortError struct {
	code    int32
	message string
}

func (e *ortError) Error() string { return tidy(e.message) }

// release calls one of the Release functions, which return nothing and accept null.
func (l *ort) release(slot int, object uintptr) { purego.SyscallN(l.functions[slot], object) }

// tidy turns a message that may quote a hostile file into one line of bounded length,
// which a terminal shows as it is.
func tidy(message string) string { return tidied(message, maxLine) }

func tidied(message string, most int) string {
	message = strings.Join(strings.Fields(strings.ToValidUTF8(message, "?")), " ")
	message = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, message)
	if len(message) > most {
		message = strings.ToValidUTF8(message[:most], "")
	}
	return message
}

// pointer converts an address from C to a pointer. It points outside the Go heap.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// goString copies a C string.
func goString(address uintptr) string {
	if address == 0 {
		return ""
	}
	start, n := (*byte)(pointer(address)), 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(start), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(start, n))
}

// cString returns a copy of s that ends with a zero byte.
func cString(s string) *byte { return &append([]byte(s), 0)[0] }
