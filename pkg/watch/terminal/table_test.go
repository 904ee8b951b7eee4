package terminal

import (
	"strings"
	"testing"
)

func TestTableAlignsColumns(t *testing.T) {
	columns := []Column{{Title: "model"}, {Title: "pages", Right: true}, {Title: "note"}}
	rows := [][]string{{"resnet50", "7", ""}, {"a", "1024", "held"}, {"b"}, {"x\x1b[2J", "1", "诚"}}
	want := "" +
		"model     pages  note\n" +
		"resnet50      7\n" +
		"a          1024  held\n" +
		"b\n" +
		"x?[2J         1  诚\n"
	var out strings.Builder
	if err := WriteTable(&out, 0, columns, rows); err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out.String(), want)
	}
	out.Reset()
	if err := WriteTable(&out, 0, columns[:1], rows); err == nil || out.Len() > 0 {
		t.Errorf("a row too long gives %v and %q", err, out.String())
	}
}

func TestANarrowTableLeavesColumnsOutAndSaysSo(t *testing.T) {
	columns := []Column{{Title: "model"}, {Title: "input", Drop: 2}, {Title: "pages", Right: true, Drop: 1}, {Title: "infer", Right: true}}
	rows := [][]string{{"resnet50_v2-1", "FP32[3,224,224]", "7", "2.61 ms"}, {"short"}}
	for _, row := range []struct {
		width int
		want  string
	}{
		{0, "" +
			"model          input            pages    infer\n" +
			"resnet50_v2-1  FP32[3,224,224]      7  2.61 ms\n" +
			"short\n"},
		{40, "" +
			"model          pages    infer\n" +
			"resnet50_v2-1      7  2.61 ms\n" +
			"short\n" +
			"(too narrow for: input)\n"},
		{29, "" +
			"model            infer\n" +
			"resnet50_v2-1  2.61 ms\n" +
			"short\n" +
			"(too narrow for: input, pag…\n"},
		{20, "" +
			"model         infer\n" +
			"resnet50_…  2.61 ms\n" +
			"short\n" +
			"(too narrow for: i…\n"},
	} {
		var out strings.Builder
		if err := WriteTable(&out, row.width, columns, rows); err != nil {
			t.Fatal(err)
		}
		expect(t, out.String(), row.want)
	}
}

func TestNoTableWraps(t *testing.T) {
	columns := []Column{{Title: "a"}, {Title: "b", Right: true}, {Title: "c", Drop: 1}}
	rows := [][]string{{strings.Repeat("诚", 30), "123456789", strings.Repeat("note", 30)}}
	for width := 1; width < 150; width++ {
		var out strings.Builder
		if err := WriteTable(&out, width, columns, rows); err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(out.String(), "\n") {
			if got := columnsOf(line); got > max(1, width-1) {
				t.Errorf("a line of %d columns on a terminal of %d: %q", got, width, line)
			}
		}
	}
}
