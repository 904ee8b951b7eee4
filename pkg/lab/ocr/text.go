package ocr

import (
	"image"
	"strings"
)

// inkThreshold is the mean darkness (0 white, 255 black) from which a part of
// the picture counts as ink. It is low, so that thin strokes survive shrinking.
const inkThreshold = 96

// Text renders the picture for a terminal, at most width characters wide, in
// half blocks. Ink has the foreground colour, so the text is readable on dark
// and light terminals and needs no colour codes. Rows and columns without ink
// around the text are left out. Every line ends in a newline; without ink, or
// with a width under 1, the result is empty.
func (p *Picture) Text(width int) string {
	box := p.ink()
	if box.Empty() || width < 1 {
		return ""
	}
	columns := min(width, box.Dx())
	rows := max(1, (box.Dy()*columns+box.Dx()/2)/box.Dx())
	var out strings.Builder
	for y := 0; y < rows; y += 2 {
		var line strings.Builder
		for x := range columns {
			upper := p.dark(part(box, x, y, columns, rows))
			lower := y+1 < rows && p.dark(part(box, x, y+1, columns, rows))
			line.WriteRune(halfBlock(upper, lower))
		}
		out.WriteString(strings.TrimRight(line.String(), " "))
		out.WriteByte('\n')
	}
	return out.String()
}

func halfBlock(upper, lower bool) rune {
	switch {
	case upper && lower:
		return '█'
	case upper:
		return '▀'
	case lower:
		return '▄'
	}
	return ' '
}

// part returns the pixel rectangle of cell (x, y) when box is divided into
// columns and rows; it holds at least one pixel.
func part(box image.Rectangle, x, y, columns, rows int) image.Rectangle {
	cut := func(from, size, i, n int) (int, int) {
		lo := from + i*size/n
		return lo, max(lo+1, from+(i+1)*size/n)
	}
	x0, x1 := cut(box.Min.X, box.Dx(), x, columns)
	y0, y1 := cut(box.Min.Y, box.Dy(), y, rows)
	return image.Rect(x0, y0, x1, y1)
}

func (p *Picture) dark(r image.Rectangle) bool {
	sum := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			sum += 255 - int(p.gray.GrayAt(x, y).Y)
		}
	}
	return sum >= inkThreshold*r.Dx()*r.Dy()
}

// ink returns the smallest rectangle that holds every dark pixel.
func (p *Picture) ink() image.Rectangle {
	var box image.Rectangle
	for y := p.gray.Rect.Min.Y; y < p.gray.Rect.Max.Y; y++ {
		for x := p.gray.Rect.Min.X; x < p.gray.Rect.Max.X; x++ {
			if pixel := image.Rect(x, y, x+1, y+1); p.dark(pixel) {
				box = box.Union(pixel)
			}
		}
	}
	return box
}
