// Package ocr prepares the input and decodes the output of a text recognition
// model, so that a demonstration can show both texts next to each other. It
// follows the conventions of PP-OCR's recognition models.
//
// Draw makes the picture and Picture.Tensor the model's input; ReadKeys reads
// the model's alphabet and Keys.Decode the output. Phrase picks what to draw.
//
// The demo command and integration tests call it. It runs no model, opens no
// file and uses no network. The same text gives the same bytes. A Picture and
// Keys are immutable, so goroutines may share them.
package ocr
