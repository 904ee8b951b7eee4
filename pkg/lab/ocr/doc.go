// Package ocr surrounds a text recognition model: it draws the text that goes
// in and reads the text that comes out, so that a demonstration can show both
// side by side. It follows the conventions of PP-OCR's recognition models.
//
// Draw makes the picture and Picture.Tensor the model's input; ReadKeys reads
// the model's alphabet and Keys.Decode the output. Phrase picks what to draw.
//
// The demo command and integration tests call it. It runs no model, opens no
// file and talks to nobody. The same text gives the same bytes. A Picture and
// Keys are not changed after they were made, so goroutines may share them.
package ocr
