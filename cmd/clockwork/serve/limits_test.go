package serve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clockwork/services/controller"
)

func TestLimitsAreReadFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base := controller.DefaultConfig().Limits
	write("tenants:\n  alice: {rate: 500, burst: 50}\n")
	rules, err := readLimits(path, base)
	if err != nil {
		t.Fatal(err)
	}
	if alice := rules.Tenants["alice"]; alice.Rate != 500 || alice.Burst != 50 || alice.Requests != base.Others.Requests {
		t.Errorf("alice has %+v", alice)
	}
	for text, want := range map[string]string{
		"tenants:\n  alice: {rat: 5}\n":  "limits.yaml: line 2: tenants.alice: \"rat\" is no limit",
		strings.Repeat("#", maxLimits+1): "at most 1048576 are read",
	} {
		write(text)
		if _, err := readLimits(path, base); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := readLimits(path+".not", base); err == nil || !strings.Contains(err.Error(), "--limits: ") {
		t.Errorf("without a file: %v", err)
	}
}
