package cli

import "fmt"

// CopiesText names the models of one load.
func CopiesText(models []string) string {
	switch n := len(models); n {
	case 0:
		return "nothing"
	case 1:
		return models[0]
	default:
		return fmt.Sprintf("%d copies: %s to %s", n, models[0], models[n-1])
	}
}

// Count returns "1 page" or "2 pages", for example.
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
