// Package top is the screen of clockwork top: it takes the statistics and events that
// the services of a stack publish, and draws them as text for a terminal of any size.
//
//	var s top.State
//	s.OnLiveStats(kind, id, stats, now) // as they come
//	s.Event(event, now)
//	s.Tick(now) // once a second
//	v := top.View{Width: 80, Height: 24}
//	quit := v.Key("m")
//	fmt.Print(s.Draw(&v, now))
//
// It is pure: time is an argument, and one goroutine owns a State and a View. Texts
// from peers cannot move the cursor or colour the screen.
package top
