//go:build linux && !static

package integration

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/testkit/browser"
	"clockwork/pkg/testkit/onnxfile"
)

var (
	browserAt  = flag.String("browser", "", "use the page of a gateway in this Chromium (make page)")
	picturesIn = flag.String("pictures", "", "where that leaves pictures of the page")
)

// hostileName is the name of a tensor that is markup, ends strings, and runs commands.
const hostileName = `<img src=x onerror="document.title='owned'">'";$(touch owned)` + "`touch owned`"

// tritonRepository writes a Triton model repository with a model of two inputs and outputs, one
// that takes pictures, without a batch dimension, and one whose tensors have hostile names.
func tritonRepository(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	bad := onnxfile.Model([]onnxfile.Node{{Op: "Relu", Inputs: []string{hostileName}, Output: "y"}},
		[]onnxfile.Port{{Name: hostileName, Type: onnxfile.Float, Shape: []int64{-1, 3}}}, []onnxfile.Port{{Name: "y", Type: onnxfile.Float, Shape: []int64{-1, 3}}})
	for name, of := range map[string]struct {
		config string
		model  []byte
	}{
		"simple": {"backend: \"onnxruntime\"\nmax_batch_size: 8\ndynamic_batching { }\n" + tensors("input", "INT32", "4", "INPUT0", "INPUT1") + tensors("output", "INT32", "4", "OUTPUT0", "OUTPUT1"),
			onnxfile.SumAndDifference(4)},
		"Means.v1": {`name: "Means.v1" platform: "onnxruntime_onnx" max_batch_size: 0
input [ { name: "data_0" data_type: TYPE_FP32 dims: [ 3, 32, 32 ] reshape { shape: [ 1, 3, 32, 32 ] } } ]
output [ { name: "means" data_type: TYPE_FP32 dims: [ 3 ] reshape { shape: [ 1, 3, 1, 1 ] } } ]
`, onnxfile.ChannelMeans("data_0", "means", 32)},
		"hostile": {"", bad},
	} {
		if err := onnxfile.Write(root, name, of.config, of.model); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func tensors(kind, datatype, dims string, names ...string) (text string) {
	for _, name := range names {
		text += fmt.Sprintf("%s { name: %q data_type: TYPE_%s dims: [ %s ] }\n", kind, name, datatype, dims)
	}
	return text
}

// startTriton starts clockwork up over a Triton model repository, loads its models, and returns
// where HTTP is heard once they are served.
func startTriton(t *testing.T, root string, paths ...string) (s *stack, url string) {
	t.Helper()
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	s, _ = startRealStack(t, root, "--http", address)
	for _, path := range paths {
		s.load(path, 1)
	}
	s.activated()
	url = "http://" + address
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	awaitHTTP(t, url+"/v2/health/ready")
	return s, url
}

// TestThePageInABrowser uses the page as a person does, over real models: numbers for two inputs,
// a picture that the browser scales, the command line that it shows, and errors; by the keyboard
// alone, on a narrow screen, in the dark. Names and messages are never markup.
func TestThePageInABrowser(t *testing.T) {
	if *browserAt == "" {
		t.Skip("needs Chromium; make page runs it")
	}
	_, url := startTriton(t, tritonRepository(t), "simple", "Means.v1", "hostile")
	b := browser.Start(t, *browserAt)
	p := b.Open(url)
	p.Look(1280, 900, false)
	p.Until("document.querySelector('#status.ready') && document.querySelectorAll('#models a').length === 3")

	t.Log("two inputs, by the keyboard")
	p.Run("location.hash = 'simple'", nil)
	p.Until("document.querySelector('#model h2')?.textContent === 'simple'")
	p.Run("document.querySelector('#numbers-0').value = '1 2 3 4'; document.querySelector('#numbers-1').value = '[10, 20,\\n30, -40]'; document.querySelector('#slo').focus()", nil)
	p.Press("Tab")
	var focused string
	if p.Run("document.activeElement.id", &focused); focused != "send" {
		t.Errorf("behind the deadline stands %q, not the button", focused)
	}
	p.Press("Enter")
	p.Until("document.querySelector('.answered')")
	var values []string
	p.Run("[...document.querySelectorAll('#answer .values')].map(v => v.textContent.replace(/\\s+/g, ' '))", &values)
	if fmt.Sprint(values) != "[11 22 33 -36 -9 -18 -27 44]" {
		t.Errorf("the page shows %q", values)
	}
	wantCommand(t, p, `"data":[0,0,0,0]`)
	p.Until("Number(document.querySelector('#rate').textContent) > 0")

	t.Log("what a person may write wrongly, and a deadline that cannot be met")
	for numbers, says := range map[string]string{"1 2 3": "takes 4 numbers, and there are 3", "1 2 3 x": "x is no INT32", "1 2 3 2147483648": "2147483648 is no INT32", "1 2 3 1.5": "1.5 is no INT32"} {
		p.Run(fmt.Sprintf("document.querySelector('#numbers-0').value = %q; document.querySelector('#send').click()", numbers), nil)
		p.Until(fmt.Sprintf("document.querySelector('.error')?.textContent.includes(%q)", says))
	}
	p.Run("document.querySelector('#numbers-0').value = '1 2 3 4'; document.querySelector('#slo').value = '0.001'; document.querySelector('#send').click()", nil)
	p.Until("document.querySelector('.error strong')?.textContent.startsWith('DEADLINE_')")

	t.Log("a picture")
	p.Run("location.hash = 'means-v1'", nil)
	p.Until("document.querySelector('#model h2')?.textContent === 'means-v1'")
	p.Run("document.querySelector('#send').click()", nil)
	p.Until("document.querySelector('.error')?.textContent.includes('choose a picture')")
	p.Choose("#file-0", paint(t))
	p.Until("!document.querySelector('canvas').hidden")
	p.Run("document.querySelector('#send').click()", nil)
	p.Until("document.querySelector('.answered')")
	// Red, half green and no blue, as shares of 255: JPEG or scaling would round otherwise.
	if p.Run("[...document.querySelectorAll('#answer .values')].map(v => v.textContent.replace(/\\s+/g, ' '))", &values); fmt.Sprint(values) != "[1 0.50196 0]" {
		t.Errorf("the means of the picture are %q", values)
	}
	leavePicture(t, p, "light")
	wantCommand(t, p, "")

	t.Log("names that are markup")
	p.Run("location.hash = 'hostile'", nil)
	p.Until("document.querySelector('#model h2')?.textContent === 'hostile'")
	p.Run("document.querySelector('#numbers-0').value = '-1 2 nan'; document.querySelector('#send').click()", nil)
	p.Until("document.querySelector('.answered')")
	var named, images, title string
	p.Run("document.querySelector('#model td.mono').textContent", &named)
	p.Run("String(document.querySelectorAll('main img').length)", &images)
	p.Run("document.title", &title)
	if named != hostileName || images != "0" || strings.Contains(title, "owned") {
		t.Errorf("the name is %q, there are %s pictures, the title is %q", named, images, title)
	}
	wantCommand(t, p, `"data":[0,0,0]`)

	t.Log("narrow and dark")
	p.Look(360, 740, true)
	var widths []int
	if p.Run("[document.documentElement.scrollWidth, innerWidth]", &widths); widths[0] > 360 {
		t.Errorf("at 360 pixels the page is %d wide", widths[0])
	}
	var dark string
	if p.Run("getComputedStyle(document.body).backgroundColor", &dark); dark == "rgb(246, 247, 249)" {
		t.Error("in the dark the page is light")
	}
	var nameless []string
	p.Run(`[...document.querySelectorAll('input, select, textarea, button, a')].filter(e => !e.labels?.length && !e.textContent.trim() && !e.ariaLabel).map(e => e.outerHTML)`, &nameless)
	if len(nameless) > 0 {
		t.Errorf("a reader of the screen cannot name %q", nameless)
	}
	leavePicture(t, p, "narrow-dark")
}

// wantCommand runs the command line that the page shows, and wants outputs of it.
func wantCommand(t *testing.T, p *browser.Page, part string) {
	t.Helper()
	var text string
	if p.Run("document.querySelector('#curl').textContent", &text); !strings.Contains(text, part) {
		t.Errorf("%s\nhas no %s", text, part)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-ec", text)
	command.Dir = t.TempDir()
	out, err := command.Output()
	if err == nil && bytes.Contains([]byte(text), []byte("output.bin")) {
		out, err = os.ReadFile(filepath.Join(command.Dir, "output.bin"))
	}
	if err != nil || !bytes.Contains(out, []byte(`"outputs":[`)) {
		t.Errorf("%s\nanswers %v: %.300s", text, err, out)
	}
	if _, err := os.Stat(filepath.Join(command.Dir, "owned")); err == nil {
		t.Errorf("%s\nruns what a name says", text)
	}
}

// paint writes a picture of one colour.
func paint(t *testing.T) (file string) {
	t.Helper()
	picture := image.NewNRGBA(image.Rect(0, 0, 50, 20))
	for i := range 50 * 20 {
		picture.Set(i%50, i/50, color.NRGBA{R: 255, G: 128, A: 255})
	}
	var out bytes.Buffer
	if err := png.Encode(&out, picture); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "picture.png")
	write(t, out.Bytes(), file)
	return file
}

func leavePicture(t *testing.T, p *browser.Page, name string) {
	t.Helper()
	if *picturesIn != "" {
		write(t, p.Picture(), *picturesIn, name+".png")
	}
}
