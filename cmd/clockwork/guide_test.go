package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/backend/onnx"
)

// The banner proposes a model that can be loaded, or one of the zoo.
func TestTheGuideProposesWhatCanBeLoaded(t *testing.T) {
	if onnx.Available() != nil {
		t.Skip("this build loads no real models")
	}
	root := t.TempDir()
	for _, dir := range []string{".git/1", "empty", "ocr_rec/1"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c := parse(t, "up", "--backend", "onnx", "--models", root)
	guide := func() string { return c.Up.guide("nats://127.0.0.1:4222", &cli.Flags{Prefix: "clockwork"}) }
	if text := guide(); !strings.Contains(text, "clockwork load zoo/") {
		t.Errorf("without a model: %s", text)
	}
	for _, name := range []string{".git", "ocr_rec"} {
		if err := os.WriteFile(filepath.Join(root, name, "1", "model.onnx"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text := guide(); !strings.Contains(text, "clockwork load ocr_rec\n") {
		t.Errorf("with one: %s", text)
	}
}
