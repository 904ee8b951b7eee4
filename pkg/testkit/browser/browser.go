// Package browser drives a headless Chromium in tests, over the pipe of its DevTools protocol:
// pages are opened, scripts run in them, files are chosen, pictures taken. A Browser is used
// by one goroutine; it and its processes end with the test.
package browser

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Browser is a running Chromium.
type Browser struct {
	t    testing.TB
	to   io.Writer
	from *bufio.Reader
	last int
}

// endsWithin bounds a whole test's wait for the browser, which may hang.
const endsWithin = 5 * time.Minute

// Start starts the Chromium at a path. It reads and writes below a folder of the test.
func Start(t testing.TB, path string) *Browser {
	t.Helper()
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	command := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--remote-debugging-pipe", "--hide-scrollbars", "--force-prefers-reduced-motion", "--user-data-dir="+home)
	command.Env = append(os.Environ(), "HOME="+home)
	command.ExtraFiles = []*os.File{inRead, outWrite} // 3 and 4 there
	var said bytes.Buffer
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	_, _ = inRead.Close(), outWrite.Close()
	hung := time.AfterFunc(endsWithin, func() { _ = command.Process.Kill() })
	t.Cleanup(func() {
		_ = inWrite.Close() // which ends it
		timer := time.AfterFunc(10*time.Second, func() { _ = command.Process.Kill() })
		_ = command.Wait() // its status says nothing
		timer.Stop()
		hung.Stop()
		_ = outRead.Close()
		if t.Failed() {
			t.Logf("the browser said: %.2000s", said.String())
		}
	})
	return &Browser{t: t, to: inWrite, from: bufio.NewReaderSize(outRead, 1<<20)}
}

// message is one of the protocol.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// call calls a method and decodes its result; events meanwhile are dropped.
func (b *Browser) call(session, method string, params, result any) {
	b.t.Helper()
	b.last++
	body, err := json.Marshal(message{ID: b.last, Session: session, Method: method, Params: params})
	if err == nil {
		_, err = b.to.Write(append(body, 0))
	}
	for err == nil {
		var line []byte
		if line, err = b.from.ReadBytes(0); err != nil {
			break
		}
		var m message
		if err = json.Unmarshal(line[:len(line)-1], &m); err != nil || m.ID != b.last {
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error)
		}
		if result != nil {
			err = json.Unmarshal(m.Result, result)
		}
		if err == nil {
			return
		}
	}
	b.t.Fatalf("%s: the browser is gone or cannot be read: %v", method, err)
}

// Page is an open page.
type Page struct {
	b       *Browser
	session string
}

// Open opens a page and does not wait for it.
func (b *Browser) Open(url string) *Page {
	b.t.Helper()
	var target struct {
		ID string `json:"targetId"`
	}
	b.call("", "Target.createTarget", map[string]any{"url": url}, &target)
	var attached struct {
		Session string `json:"sessionId"`
	}
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached)
	return &Page{b, attached.Session}
}

// Run runs a script in the page, awaits its promise, and decodes its value.
func (p *Page) Run(script string, value any) {
	p.b.t.Helper()
	var out struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	p.b.call(p.session, "Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &out)
	if e := out.Exception; e != nil {
		p.b.t.Fatalf("%s\n%s %s", script, e.Text, e.Exception.Description)
	}
	if value == nil {
		return
	}
	if err := json.Unmarshal(out.Result.Value, value); err != nil {
		p.b.t.Fatalf("%s: %s: %v", script, out.Result.Value, err)
	}
}

// Until waits until a script's value is true.
func (p *Page) Until(script string) {
	p.b.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var is bool
		if p.Run("!!("+script+")", &is); is {
			return
		}
		if time.Now().After(end) {
			var text string
			p.Run("document.body.innerText", &text)
			p.b.t.Fatalf("it never was: %s\nthe page shows: %s", script, text)
		}
	}
}

// Choose chooses a file of this machine in a field of the page.
func (p *Page) Choose(selector, file string) {
	p.b.t.Helper()
	var out struct {
		Result struct {
			ID string `json:"objectId"`
		} `json:"result"`
	}
	p.b.call(p.session, "Runtime.evaluate", map[string]any{"expression": fmt.Sprintf("document.querySelector(%q)", selector)}, &out)
	p.b.call(p.session, "DOM.setFileInputFiles", map[string]any{"files": []string{file}, "objectId": out.Result.ID}, nil)
}

// Press presses a key of the keyboard, such as Tab or Enter.
func (p *Page) Press(key string) {
	p.b.t.Helper()
	codes := map[string]int{"Tab": 9, "Enter": 13, "Space": 32}
	text := map[string]string{"Enter": "\r", "Space": " "}[key]
	for _, kind := range []string{"keyDown", "keyUp"} {
		p.b.call(p.session, "Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": codes[key], "text": text}, nil)
	}
}

// Look makes the page so many pixels wide and high, dark or light.
func (p *Page) Look(width, height int, dark bool) {
	p.b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	p.b.call(p.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	p.b.call(p.session, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Picture takes a picture of the whole page, as PNG.
func (p *Page) Picture() []byte {
	p.b.t.Helper()
	var out struct {
		Data string `json:"data"`
	}
	p.b.call(p.session, "Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &out)
	picture, err := base64.StdEncoding.DecodeString(out.Data)
	if err != nil {
		p.b.t.Fatal(err)
	}
	return picture
}
