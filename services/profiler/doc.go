// Package profiler is the shell around pkg/core/measure. It measures the weight
// transfer and each batch size of every model on each GPU type, through the same
// worker actions that later serve requests. The controller issues the jobs. The
// core decides what is measured, where, and what a failure means.
package profiler
