package fetch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// archive packs members as npm does.
func archive(t testing.TB, members []tar.Header, content string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
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
			if _, err := tarred.Write([]byte(content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tarred.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// FuzzUnpack: whatever an archive holds, either the one file that is wanted
// appears, with the content that its sum demands, or none does, anywhere.
func FuzzUnpack(f *testing.F) {
	for _, members := range [][]tar.Header{
		{regular("package/lib/a.so")},
		{regular("package/other"), regular("package/lib/a.so")},
		{regular("package/lib/../../../a.so")},
		{{Name: "package/lib/a.so", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}, regular("package/lib/a.so")},
		{{Name: "package/lib", Linkname: "..", Typeflag: tar.TypeSymlink}, regular("package/lib/a.so")},
		{{Name: "package/lib/a.so", Typeflag: tar.TypeDir}},
	} {
		f.Add(archive(f, members, "library"), false)
	}
	whole := archive(f, []tar.Header{regular("package/lib/a.so")}, "library")
	f.Add(whole[:len(whole)-10], false)
	f.Add([]byte("not an archive"), false)
	plain, err := unzipped(whole)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain, true)
	f.Fuzz(func(t *testing.T, packed []byte, zip bool) {
		if zip { // so that the fuzzer gets past the checksum
			var out bytes.Buffer
			w := gzip.NewWriter(&out)
			if _, err := w.Write(packed); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			packed = out.Bytes()
		}
		base := t.TempDir()
		work, folder, file := filepath.Join(base, "work"), filepath.Join(base, "folder"), filepath.Join(base, "packed.tgz")
		for _, dir := range []string{work, folder} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(file, packed, 0o644); err != nil {
			t.Fatal(err)
		}
		p := wanting("library")
		err := Fetcher{}.unpack(file, work, folder, p.Name, p.Files)
		if left := p.missing(folder); (err == nil) != (len(left) == 0) {
			t.Fatalf("unpacked with %v, and missing are %v", err, left)
		}
		onlyThere(t, base, "packed.tgz", "folder/a.so")
	})
}

func unzipped(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	var plain bytes.Buffer
	_, err = plain.ReadFrom(r)
	return plain.Bytes(), err
}

// onlyThere fails for every file that is not one of these, but for what is left in
// the work directory, which Fetch removes.
func onlyThere(t *testing.T, base string, paths ...string) {
	t.Helper()
	err := filepath.WalkDir(base, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(base, path)
		for _, allowed := range paths {
			if rel == allowed && entry.Type().IsRegular() {
				return err
			}
		}
		if filepath.Dir(rel) != "work" || !entry.Type().IsRegular() {
			t.Errorf("%s was left", rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
