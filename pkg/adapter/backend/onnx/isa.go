//go:build linux && !static

package onnx

import (
	"bufio"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/cpu"

	"clockwork/pkg/protocol"
)

// isa returns the instruction set for which ORT lays out an optimised graph.
func isa() string {
	switch {
	case runtime.GOARCH != "amd64":
		return runtime.GOARCH
	case cpu.X86.HasAVX512F:
		return "avx512"
	case cpu.X86.HasAVX2:
		return "avx2"
	case cpu.X86.HasAVX:
		return "avx"
	}
	return "sse"
}

// deviceType names devices that run equally fast: the instruction set and the
// processor's model name. It is a valid protocol name.
func deviceType() string {
	model := ""
	if file, err := os.Open("/proc/cpuinfo"); err == nil {
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
				model = "-" + strings.Join(strings.FieldsFunc(value, notWord), "-")
				break
			}
		}
	}
	return protocol.Name("cpu-onnx-" + isa() + model)
}

func notWord(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
}
