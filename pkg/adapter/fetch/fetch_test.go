package fetch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeNPM puts an npm on the PATH that "packs" the given members, and returns
// the file in which it counts its calls.
func fakeNPM(t *testing.T, members []tar.Header, content string) (calls string) {
	t.Helper()
	bin := t.TempDir()
	archive := filepath.Join(bin, "packed")
	var buf bytes.Buffer
	zipped := gzip.NewWriter(&buf)
	tarred := tar.NewWriter(zipped)
	for _, h := range members {
		h.Mode = 0o644
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content))
		}
		if err := tarred.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			tarred.Write([]byte(content))
		}
	}
	if err := errors.Join(tarred.Close(), zipped.Close(), os.WriteFile(archive, buf.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	calls = filepath.Join(bin, "calls")
	script := "#!/bin/sh\necho \"$@\" >> '" + calls + "'\n/bin/cat '" + archive + "' > pkg-1.0.0.tgz\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	return calls
}

func regular(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }

func wanting(content string) Package {
	sum := sha256.Sum256([]byte(content))
	return Package{Name: "@some/pkg", Version: "1.0.0", License: "MIT",
		Files: []File{{Member: "package/lib/a.so", Dest: "a.so", SHA256: hex.EncodeToString(sum[:])}}}
}

func timesCalled(t *testing.T, calls string) int {
	t.Helper()
	log, err := os.ReadFile(calls)
	if err != nil {
		return 0
	}
	return strings.Count(string(log), "@some/pkg@1.0.0")
}

func TestFetchTakesTheNamedMemberAndReusesIt(t *testing.T) {
	calls := fakeNPM(t, []tar.Header{regular("package/other"), regular("package/lib/a.so")}, "library")
	cache := t.TempDir()
	var last Event
	f := Fetcher{Cache: cache, Progress: func(e Event) {
		if e.File != "" {
			last = e
		}
	}}
	folder, err := f.Fetch(context.Background(), wanting("library"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(folder, "a.so"))
	if err != nil || string(got) != "library" {
		t.Fatalf("cached file: %q, %v", got, err)
	}
	if last.File != "a.so" || last.Done != 7 || last.Total != 7 {
		t.Errorf("last progress: %+v", last)
	}
	if _, err := f.Fetch(context.Background(), wanting("library")); err != nil {
		t.Fatal(err)
	}
	if n := timesCalled(t, calls); n != 1 {
		t.Errorf("npm was called %d times, expected once", n)
	}
	entries, _ := os.ReadDir(cache)
	if len(entries) != 1 || entries[0].Name() != "npm" {
		t.Errorf("left in the cache: %v", entries)
	}
}

func TestFetchReplacesAnAlteredFile(t *testing.T) {
	calls := fakeNPM(t, []tar.Header{regular("package/lib/a.so")}, "library")
	f := Fetcher{Cache: t.TempDir()}
	folder, err := f.Fetch(context.Background(), wanting("library"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "a.so"), []byte("tampered"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fetch(context.Background(), wanting("library")); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(filepath.Join(folder, "a.so"))
	if string(got) != "library" || timesCalled(t, calls) != 2 {
		t.Errorf("after tampering: %q, %d calls", got, timesCalled(t, calls))
	}
}

func TestFetchRefuses(t *testing.T) {
	tests := []struct {
		name    string
		members []tar.Header
		change  func(*Package)
		want    string
	}{
		{"another content", []tar.Header{regular("package/lib/a.so")},
			func(p *Package) { p.Files[0].SHA256 = strings.Repeat("0", 64) }, "expected 0000"},
		{"a member that is missing", []tar.Header{regular("package/b.so")}, nil, "not in the package"},
		{"a member that climbs out", []tar.Header{regular("package/lib/../../../a.so")}, nil, "not in the package"},
		{"a symlink for a file", []tar.Header{{Name: "package/lib/a.so", Linkname: "elsewhere", Typeflag: tar.TypeSymlink}},
			nil, "not a regular file"},
		{"a destination that climbs out", []tar.Header{regular("package/lib/a.so")},
			func(p *Package) { p.Files[0].Dest = "../a.so" }, "leaves the cache"},
		{"a flag for a name", nil, func(p *Package) { p.Name = "--version" }, "not a name"},
		{"a path for a name", nil, func(p *Package) { p.Name = "../pkg" }, "not a name"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fakeNPM(t, test.members, "library")
			base := t.TempDir()
			cache := filepath.Join(base, "cache")
			p := wanting("library")
			if test.change != nil {
				test.change(&p)
			}
			_, err := Fetcher{Cache: cache}.Fetch(context.Background(), p)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, expected %q", err, test.want)
			}
			filepath.Walk(base, func(path string, info os.FileInfo, _ error) error {
				if info != nil && info.Mode().IsRegular() {
					t.Errorf("a file was left: %s", path)
				}
				return nil
			})
		})
	}
}

func TestFetchWithoutNPMSaysWhatToDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Fetcher{Cache: t.TempDir()}.Fetch(context.Background(), wanting("library"))
	if !errors.Is(err, ErrNoNPM) || !strings.Contains(err.Error(), "--onnx-library") || !strings.Contains(err.Error(), "install") {
		t.Fatal(err)
	}
}

func TestFetchReportsWhatNPMSaid(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\necho 'npm error 404 Not Found' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	_, err := Fetcher{Cache: t.TempDir()}.Fetch(context.Background(), wanting("library"))
	if err == nil || !strings.Contains(err.Error(), "404 Not Found") {
		t.Fatal(err)
	}
}

func TestModelsAreLaidOutAsTritonDoes(t *testing.T) {
	calls := fakeNPM(t, nil, "")
	cache, models := t.TempDir(), t.TempDir()
	saved := OCRModels.Files
	defer func() { OCRModels.Files = saved }()
	OCRModels.Files = make([]File, len(saved))
	for i, file := range saved {
		sum := sha256.Sum256([]byte(file.Dest))
		file.SHA256 = hex.EncodeToString(sum[:])
		OCRModels.Files[i] = file
		path := filepath.Join(OCRModels.Folder(cache), file.Dest)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(file.Dest), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time finds everything in place
		if err := (Fetcher{Cache: cache}).Models(context.Background(), models); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"ocr_rec/1/model.onnx":      "ch_PP-OCRv4_rec_infer.onnx",
		"ocr_rec/ppocr_keys_v1.txt": "ppocr_keys_v1.txt",
		"ocr_rec/model.yaml":        ocrConfig,
	} {
		if got, err := os.ReadFile(filepath.Join(models, path)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if timesCalled(t, calls) != 0 {
		t.Error("npm was called for cached files")
	}
}

func TestPinsAreComplete(t *testing.T) {
	for _, p := range Pinned {
		if err := p.check(); err != nil {
			t.Error(err)
		}
		if p.License == "" || len(p.Files) == 0 {
			t.Errorf("%s: no licence or no files", p.Name)
		}
		for _, file := range p.Files {
			if len(file.SHA256) != 64 || !strings.HasPrefix(file.Member, "package/") {
				t.Errorf("%s: %+v", p.Name, file)
			}
		}
	}
}
