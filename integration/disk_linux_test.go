package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// disk is a small disk of its own.
type disk struct {
	t    *testing.T
	path string
}

// newDisk mounts a disk of some MiB. It needs the right to mount.
func newDisk(t *testing.T, size int) *disk {
	t.Helper()
	d := &disk{t, t.TempDir()}
	if err := syscall.Mount("tmpfs", d.path, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		t.Skipf("no disk can be mounted here, so what a full disk does is not tested: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.path, 0); err != nil {
			t.Error(err)
		}
	})
	return d
}

// fill leaves no byte free.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(filepath.Join(d.path, "fill"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
}

// empty makes room again.
func (d *disk) empty() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.path, "fill")); err != nil {
		d.t.Fatal(err)
	}
}

// checked runs `clockwork healthcheck` until it ends as wanted and says these words.
func checked(t *testing.T, url string, healthy bool, words string) {
	t.Helper()
	var out []byte
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		out, err = exec.Command(binary, "healthcheck", "--nats", url).CombinedOutput()
		if (err == nil) == healthy && strings.Contains(string(out), words) {
			return
		}
	}
	t.Fatalf("healthcheck: %v, %s; want healthy %v and %q", err, out, healthy, words)
}

// serves fails unless a model answers.
func serves(t *testing.T, c *client.Client, model string) {
	t.Helper()
	slo := float64(patience.Milliseconds())
	request := &protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo}}
	var refusal *protocol.Error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, refusal = c.Infer(t.Context(), model, request, patience); refusal == nil {
			return
		}
	}
	t.Fatalf("%s is not served: %v", model, refusal)
}

// TestAFullDiskIsSaidAndSurvived fills the disk of a stack while it measures models, and
// again while it serves. The stack says that it cannot store, serves what it serves, and
// goes on by itself as soon as there is room.
func TestAFullDiskIsSaidAndSurvived(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 600)
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	url := "nats://" + address
	up := startProcess(t, "up", "--listen", address, "--data", filepath.Join(d.path, "data"), "--load-idle", "300ms", "--generate-inputs", "--scale", "0.1")
	t.Cleanup(up.Kill) // before its disk goes
	checked(t, url, true, "AWAITING_MODELS")
	c, err := client.Connect(url, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for i := range 3 { // the later ones keep the stack busy while the disk becomes full
		if _, refusal := c.Load(t.Context(), protocol.LoadRequest{Path: fmt.Sprintf("zoo/resnet%d_v2", []int{18, 34, 50}[i]), Name: fmt.Sprintf("m%d", i)}); refusal != nil {
			t.Fatal(refusal)
		}
	}
	d.fill()
	checked(t, url, false, "takes no writes")
	d.empty()
	checked(t, url, true, "ACTIVE")

	serves(t, c, "m0")

	d.fill()
	checked(t, url, false, "takes no writes")
	serves(t, c, "m0")
	d.empty()
	checked(t, url, true, "ACTIVE")
	for _, words := range []string{"the broker's store takes no writes", "state store out of order", "state store in order again"} {
		if !strings.Contains(up.Log(), words) {
			t.Errorf("the log does not say %q:\n%s", words, up.Log())
		}
	}
}
