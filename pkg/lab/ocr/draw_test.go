package ocr

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

func drawn(t *testing.T, text string, width int) *Picture {
	t.Helper()
	p, err := Draw(text, width)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPictureHasInkBetweenWhiteMargins(t *testing.T) {
	for _, text := range []string{"i", "clockwork", "queue window", strings.Repeat("wide ", 20)} {
		p := drawn(t, text, Width)
		box, bounds := p.ink(), p.gray.Bounds()
		if bounds.Dy() != Height || bounds.Dx() > Width {
			t.Errorf("%q is %v, want at most %dx%d", text, bounds, Width, Height)
		}
		if box.Empty() || box.Min.X < Margin || box.Max.X > bounds.Dx()-Margin || box.Min.Y < 1 || box.Max.Y > Height-1 {
			t.Errorf("%q: ink in %v of %v, want it within margins of %d", text, box, bounds, Margin)
		}
	}
}

func TestLongTextIsSqueezedToTheWidth(t *testing.T) {
	short, long := drawn(t, "model", Width), drawn(t, strings.Repeat("model ", 9), Width)
	if short.squeezed || short.gray.Bounds().Dx() >= Width {
		t.Errorf("a short text is squeezed to %v", short.gray.Bounds())
	}
	if !long.squeezed || long.gray.Bounds().Dx() != Width {
		t.Errorf("a long text is not squeezed: %v", long.gray.Bounds())
	}
	if !Fits("model", Width) || Fits(strings.Repeat("model ", 9), Width) {
		t.Error("Fits disagrees with Draw")
	}
}

func TestTensorIsThreeNormalPlanesPaddedWithZero(t *testing.T) {
	p := drawn(t, "model", Width)
	data := p.Tensor()
	if want := channels * Height * Width * 4; len(data) != want {
		t.Fatalf("%d bytes, want %d", len(data), want)
	}
	drawnWidth, black := p.gray.Bounds().Dx(), 0
	for c := range channels {
		for y := range Height {
			for x := range Width {
				at := 4 * ((c*Height+y)*Width + x)
				v, want := math.Float32frombits(binary.LittleEndian.Uint32(data[at:])), float32(0)
				if x < drawnWidth {
					want = (float32(p.gray.GrayAt(x, y).Y)/255 - 0.5) / 0.5
				}
				if v != want {
					t.Fatalf("channel %d, (%d,%d): %v, want %v", c, x, y, v, want)
				}
				if v == -1 {
					black++
				}
			}
		}
	}
	if corner := math.Float32frombits(binary.LittleEndian.Uint32(data)); corner != 1 || black == 0 {
		t.Errorf("white is %v and %d pixels are black; want 1 and some", corner, black)
	}
}

func TestDrawIsDeterministic(t *testing.T) {
	if !bytes.Equal(drawn(t, "batch 256", Width).Tensor(), drawn(t, "batch 256", Width).Tensor()) {
		t.Error("the same text gave other bytes")
	}
}

func TestDrawRefuses(t *testing.T) {
	for _, row := range []struct {
		name, text string
		width      int
	}{
		{"no text", "", Width},
		{"only spaces", "  ", Width},
		{"a character the font lacks", "诚", Width},
		{"a line break", "a\nb", Width},
		{"a width of nothing but margins", "a", 2 * Margin},
		{"a negative width", "a", -1},
		{"a width past the bound", "a", MaxWidth + 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := Draw(row.text, row.width); err == nil {
				t.Fatal("drawn")
			}
		})
	}
}

func TestTextShowsInkInHalfBlocks(t *testing.T) {
	p := drawn(t, "l", Width)
	if got := p.Text(1); strings.Trim(got, "█▀\n") != "" || strings.Count(got, "\n") < 2 {
		t.Errorf("an l in one column is %q, want one upright stroke", got)
	}
	if got := p.Text(0); got != "" {
		t.Errorf("no width gives %q", got)
	}
	for _, width := range []int{1, 20, 80, 500} {
		for line := range strings.Lines(drawn(t, "queue window", Width).Text(width)) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
				t.Errorf("a line of %d characters for a width of %d", n, width)
			}
		}
	}
}

func TestPhrasesFitAndCanBeRead(t *testing.T) {
	distinct := map[string]bool{}
	for i := range 300 {
		phrase := Phrase(i)
		distinct[phrase] = true
		if !Fits(phrase, Width) || phrase != Phrase(i) {
			t.Errorf("phrase %d, %q, does not fit or changes", i, phrase)
		}
	}
	if len(distinct) < 200 {
		t.Errorf("only %d of 300 phrases are distinct", len(distinct))
	}
	if Phrase(-1) == "" {
		t.Error("a negative index gives nothing")
	}
}

func TestWordsAreDistinctAndHaveNoDoubledLetter(t *testing.T) {
	seen := map[string]bool{}
	for _, word := range Words {
		if seen[word] {
			t.Errorf("%q stands twice", word)
		}
		seen[word] = true
		for i := 1; i < len(word); i++ {
			if word[i] == word[i-1] {
				t.Errorf("%q doubles %q", word, word[i])
			}
		}
	}
}
