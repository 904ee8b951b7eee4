// Package plot draws charts as SVG for a web page: lines, bars and timelines,
// with labelled axes, in the page's own colours.
//
//	svg := plot.Chart{Title: "goodput", X: "time, s", Y: "r/s", Series: []plot.Series{{Name: "a", X: x, Y: y}}}.SVG()
//
// The SVG uses classes instead of colours: c0 to c7 for series, and axis, grid
// and text; Style contains their rules, for light and dark. The package is pure:
// the same chart gives the same text. It has no knowledge of the data and does
// not lay out pages.
package plot
