package chaos

import (
	"strings"
	"testing"
)

// FuzzFaultOf: a fault is found by its own name and by no other.
func FuzzFaultOf(f *testing.F) {
	for _, name := range append(FaultNames(), "", "Kill", "kill ", "kill\x00") {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		fault, err := FaultOf(name)
		if (err == nil) != (fault != 0) || err == nil && fault.String() != name {
			t.Fatalf("%q is %v, %v", name, fault, err)
		}
		if err != nil && !strings.Contains(err.Error(), strings.Join(FaultNames(), ", ")) {
			t.Fatalf("%v names no fault that there is", err)
		}
	})
}
