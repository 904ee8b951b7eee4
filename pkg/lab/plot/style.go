package plot

import (
	"fmt"
	"html/template"
	"strings"
)

// Style contains the CSS rules of charts, for light and dark. The colours remain
// distinguishable for colour-blind readers (Okabe and Ito); on dark grounds they
// are lighter.
const Style = template.CSS(`
:root{--ground:#fff;--card:#f7f7f8;--ink:#1c1e21;--soft:#5d636b;--rule:#d9dce0;
--c0:#0072b2;--c1:#e07b00;--c2:#009e73;--c3:#cc5a9a;--c4:#8a63d2;--c5:#b8860b;--c6:#3fa7d6;--c7:#c0392b;--cg:#8a9099;--inside:#fff}
@media (prefers-color-scheme:dark){:root{--ground:#15171a;--card:#1d2024;--ink:#e8eaed;--soft:#a3a9b2;--rule:#363b42;
--c0:#4aa8e0;--c1:#f09a3a;--c2:#2fc79b;--c3:#e58abd;--c4:#af8ff0;--c5:#d9b64a;--c6:#7fd0f2;--c7:#ef7a6d;--cg:#8f97a3;--inside:#101214}}
svg{display:block;width:100%;height:auto;font-family:inherit}
svg .line{fill:none;stroke-width:1.7;stroke-linejoin:round}
svg .dashed{stroke-dasharray:5 4}
svg .grid{stroke:var(--rule);stroke-width:.7}
svg .axis{stroke:var(--soft);stroke-width:1}
svg text{fill:var(--soft);font-size:10.5px}
svg .label{font-size:11px;fill:var(--ink)}
svg .inside{fill:var(--inside);font-size:9.5px}
@media (max-width:560px){.chart svg text,.chart svg .label{font-size:16px}}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}.c5{stroke:var(--c5)}.c6{stroke:var(--c6)}.c7{stroke:var(--c7)}.cg{stroke:var(--cg)}
.bar,.dot{stroke:none}
.bar.c0,.dot.c0{fill:var(--c0)}.bar.c1,.dot.c1{fill:var(--c1)}.bar.c2,.dot.c2{fill:var(--c2)}.bar.c3,.dot.c3{fill:var(--c3)}.bar.c4,.dot.c4{fill:var(--c4)}.bar.c5,.dot.c5{fill:var(--c5)}.bar.c6,.dot.c6{fill:var(--c6)}.bar.c7,.dot.c7{fill:var(--c7)}.bar.cg,.dot.cg{fill:var(--cg)}
.legend{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:12px;color:var(--soft)}
.legend span{white-space:nowrap}
.legend svg{display:inline-block;width:22px;height:10px;vertical-align:middle;margin-right:5px}
.legend .line{stroke-width:2.4}
`)

// Legend returns the names of the series next to samples of their lines.
func Legend(series []Series) template.HTML {
	var out strings.Builder
	out.WriteString(`<div class="legend">`)
	for _, s := range series {
		fmt.Fprintf(&out, `<span><svg viewBox="0 0 22 10" aria-hidden="true"><path class="line %s" d="M0 5L22 5"%s/></svg>%s</span>`, s.class(), faint(s.Faint), escaped(s.Name))
	}
	out.WriteString(`</div>`)
	return template.HTML(out.String())
}

// Variable returns the CSS variable of a colour, such as --c0.
func Variable(colour int) string { return "--" + class(colour) }
