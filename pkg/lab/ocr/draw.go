package ocr

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"math"
	"strings"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

const (
	// Height is the height of every picture in pixels: the model's second dimension.
	Height = 48
	// Margin is the white space left and right of the text, in pixels.
	Margin = 6
	// Width is the width of the model's input that the demonstration uses.
	Width = 192
	// MaxWidth bounds the width that Draw accepts.
	MaxWidth = 4096

	// fontSize is in pixels (72 dpi); below 28 the model misreads.
	fontSize = 30
	channels = 3
)

var goRegular = func() *opentype.Font {
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic("ocr: the embedded font does not parse: " + err.Error())
	}
	return parsed
}()

// Picture is a text drawn black on white, Height pixels high, with Margin white
// pixels on the left and the right. It is at most as wide as the input for which
// it was drawn.
type Picture struct {
	gray *image.Gray
	// input is the width of the tensor, at least that of the picture.
	input int
	// squeezed: the text was drawn narrower than its font requires.
	squeezed bool
}

// Draw draws one line of text for an input width pixels wide. A longer text is
// squeezed to fit; Fits reports that beforehand. Draw returns an error if the
// text is empty or contains a character that the font lacks, or if the width is
// outside (2*Margin, MaxWidth].
func Draw(text string, width int) (*Picture, error) {
	if width <= 2*Margin || width > MaxWidth {
		return nil, fmt.Errorf("draw text: a width of %d is not in (%d, %d]", width, 2*Margin, MaxWidth)
	}
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("draw text: there is none")
	}
	face, err := newFace()
	if err != nil {
		return nil, fmt.Errorf("draw text: %w", err)
	}
	defer face.Close()
	if r, missing := firstMissing(face, text); missing {
		return nil, fmt.Errorf("draw text: the font has no %q", r)
	}
	natural, squeezed := line(face, text), false
	if natural.Rect.Dx() > width {
		natural, squeezed = squeeze(natural, width), true
	}
	return &Picture{gray: natural, input: width, squeezed: squeezed}, nil
}

// Fits reports whether the text fits the width without being squeezed.
func Fits(text string, width int) bool {
	p, err := Draw(text, width)
	return err == nil && !p.squeezed
}

func newFace() (font.Face, error) {
	return opentype.NewFace(goRegular, &opentype.FaceOptions{Size: fontSize, DPI: 72, Hinting: font.HintingFull})
}

func firstMissing(face font.Face, text string) (rune, bool) {
	for _, r := range text {
		if _, ok := face.GlyphAdvance(r); !ok {
			return r, true
		}
	}
	return 0, false
}

// line draws the text at its natural width, its ascent and descent centred.
func line(face font.Face, text string) *image.Gray {
	advance := font.MeasureString(face, text).Ceil()
	canvas := white(advance + 2*Margin)
	m := face.Metrics()
	baseline := (Height + m.Ascent.Ceil() - m.Descent.Ceil()) / 2
	drawer := font.Drawer{Dst: canvas, Src: image.Black, Face: face, Dot: fixed.P(Margin, baseline)}
	drawer.DrawString(text)
	return canvas
}

// squeeze narrows the part between the margins; the margins keep their width.
func squeeze(src *image.Gray, width int) *image.Gray {
	dst := white(width)
	inner := func(g *image.Gray) image.Rectangle {
		return image.Rect(Margin, 0, g.Rect.Dx()-Margin, Height)
	}
	draw.CatmullRom.Scale(dst, inner(dst), src, inner(src), draw.Src, nil)
	return dst
}

func white(width int) *image.Gray {
	canvas := image.NewGray(image.Rect(0, 0, width, Height))
	draw.Draw(canvas, canvas.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	return canvas
}

// Shape returns the tensor's shape, without a batch dimension: [3, Height, width].
func (p *Picture) Shape() []int64 { return []int64{channels, Height, int64(p.input)} }

// Tensor returns the model's input: three equal planes of float32,
// little-endian, (v/255-0.5)/0.5, so that white is 1 and black -1. The area
// right of the picture is 0, as in the model's training; white there would cut
// words.
func (p *Picture) Tensor() []byte {
	plane := 4 * Height * p.input
	data := make([]byte, channels*plane)
	for y := range Height {
		for x := range p.gray.Rect.Dx() {
			v := (float32(p.gray.GrayAt(x, y).Y)/255 - 0.5) / 0.5
			binary.LittleEndian.PutUint32(data[4*(y*p.input+x):], math.Float32bits(v))
		}
	}
	for c := 1; c < channels; c++ {
		copy(data[c*plane:(c+1)*plane], data[:plane])
	}
	return data
}
