package protocol

import (
	"path"
	"strconv"
)

// MaxName is the longest name of a model, worker, GPU type or service instance, in
// bytes.
const MaxName = 64

// ValidName reports whether s can be one token of a subject: 1 to MaxName bytes of
// [a-z0-9_-].
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !nameByte(s[i]) {
			return false
		}
	}
	return true
}

// Name returns a valid name for any text: capitals are lowered, every other byte that is
// not allowed in a name becomes a hyphen, and the rest is cut off.
func Name(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s) && len(out) < MaxName; i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if !nameByte(c) {
			c = '-'
		}
		out = append(out, c)
	}
	return string(out)
}

// NameOfPath returns the name of a model that is loaded without one: the last element of
// its path, or of NAME/VERSION the first, made into a valid name.
func NameOfPath(p string) string {
	p = path.Clean(p)
	name := path.Base(p)
	if dir := path.Base(path.Dir(p)); isVersion(name) && dir != "." && dir != "/" {
		name = dir
	}
	return Name(name)
}

// isVersion reports whether an element of a path is a version: a number from 1.
func isVersion(element string) bool {
	n, err := strconv.Atoi(element)
	return err == nil && n > 0 && strconv.Itoa(n) == element
}

// CopyNames returns the names of n copies of a model: the name itself for one, name-1 to
// name-n otherwise.
func CopyNames(name string, n int) []string {
	if n == 1 {
		return []string{name}
	}
	names := make([]string, 0, n)
	for i := 1; i <= n; i++ {
		names = append(names, name+"-"+strconv.Itoa(i))
	}
	return names
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
