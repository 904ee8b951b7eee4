// Package profiler measures how long models take: the weight transfer and each
// batch size, on each type of GPU, through the same worker actions that serve
// requests later. The controller says when. What is measured, where, and what a
// failure means is decided in pkg/core/measure; this is its shell.
package profiler
