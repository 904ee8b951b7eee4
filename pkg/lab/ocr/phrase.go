package ocr

// Words are the words of Phrase: plain lower-case words and numbers, because
// even people misread mixed case and lookalikes (0 and O, 1 and l). No letter is
// doubled, because in a narrow picture the model has no step left for the blank
// between two equal letters.
var Words = []string{
	"clockwork", "model", "latency", "request", "worker", "weights",
	"batch", "queue", "memory", "action", "result", "window",
	"output", "deadline", "profile", "schedule", "station", "garden",
	"bridge", "river", "mountain", "morning", "evening", "winter",
	"north", "autumn", "spring", "golden", "orange", "silver",
	"white", "purple", "bread", "lemon", "sugar", "water",
	"paper", "pencil", "writer", "number", "table", "market",
	"music", "piano", "violin", "theatre", "island", "harbour",
	"cabin", "engine", "planet", "minute", "second", "under",
	"2026", "365", "48", "720", "1984", "256", "97", "5040",
}

// Phrase returns the i-th phrase: two different words that fit an input of Width
// without being squeezed. The sequence is the same in every run and seldom
// repeats; any i is allowed.
func Phrase(i int) string {
	n := len(Words)
	u := int(uint(i) % uint(n*(n-1)))
	first, start := u%n, u/n+7*u
	for try := range n - 1 {
		second := (first + 1 + (start+try)%(n-1)) % n
		if two := Words[first] + " " + Words[second]; Fits(two, Width) {
			return two
		}
	}
	return Words[first]
}
