package terminal

import "testing"

func TestTextsAreCutToColumns(t *testing.T) {
	for _, test := range []struct {
		text    string
		columns int
		want    string
	}{
		{"resnet50", 8, "resnet50"},
		{"resnet50", 7, "resnet…"},
		{"resnet50", 1, "…"},
		{"模型模型", 8, "模型模型"},
		{"模型模型", 7, "模型模…"},
		{"模型模型", 6, "模型…"},                // half a character is not shown
		{"cafe\u0301s", 5, "cafe\u0301s"}, // an accent takes no column
		{"cafe\u0301s", 4, "caf…"},
		{"▁▂▃█", 4, "▁▂▃█"},
	} {
		got := Clip(test.text, test.columns)
		if got != test.want || Columns(got) > test.columns {
			t.Errorf("%q in %d columns is %q of %d, not %q", test.text, test.columns, got, Columns(got), test.want)
		}
	}
}

func BenchmarkClip(b *testing.B) {
	for _, text := range []string{"resnet50_v2-1", "the broker is lost since 7 s", "模型模型模型模型"} {
		b.Run(text[:6], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Clip(text, 12)
			}
		})
	}
}
