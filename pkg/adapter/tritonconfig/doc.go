// Package tritonconfig reads config.pbtxt, the configuration of a model in a Triton model
// repository, as far as it says something about an ONNX model here. Whatever it does not
// understand is a problem with its line; settings that change nothing here are notes, which
// say why.
//
// The text is foreign: it is bounded in length and depth, and decoding it takes memory in
// proportion to its length. The package opens no files; any goroutine may call it.
package tritonconfig
