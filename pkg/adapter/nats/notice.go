package bus

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"clockwork/pkg/protocol"
)

// The paces of notices: of one subject, and of all of a kind, which bounds who takes ever
// other names. maxNoticed bounds the subjects of a kind that are told apart.
var (
	subjectPace = pace{burst: 20, every: time.Second}
	kindPace    = pace{burst: 500, every: 100 * time.Millisecond}
)

const maxNoticed = 1024

// Notice logs what a message of another party causes, so that a peer which sends whatever it
// likes causes a bounded number of lines: about one subject 20 at once and then one a second,
// and of a kind 500 at once and then 10 a second. A line that stands for several says how many.
// what is a constant and the kind; subject is whom or what the line is about.
func (b *Bus) Notice(level slog.Level, what, subject string, args ...any) {
	count := b.notices.add(time.Now(), what, subject)
	if count == 0 {
		return
	}
	if count > 1 {
		args = append(args, "count", count)
	}
	b.Log.Log(context.Background(), level, what, args...)
}

// NoticeEvent publishes an event that a message of another party causes, and reports whether
// it did: the events of a kind are bounded as the lines of Notice are.
func (b *Bus) NoticeEvent(subject string, e protocol.Event) (published bool) {
	if b.notices.add(time.Now(), e.Kind, subject) == 0 {
		return false
	}
	b.Event(e)
	return true
}

// notices limits notices by kind and subject. Kinds are constants, so they are few. Its zero
// value is ready.
type notices struct {
	mu   sync.Mutex
	kind map[string]*noticeKind
}

// noticeKind limits the notices of one kind, and those of each of its subjects; others are
// the subjects beyond maxNoticed.
type noticeKind struct {
	all, others logLimiter
	subjects    map[string]*logLimiter
	cleared     time.Time // when the idle ones made room last
}

// add counts a notice, and returns how many to log now.
func (n *notices) add(now time.Time, kind, subject string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kind == nil {
		n.kind = map[string]*noticeKind{}
	}
	k := n.kind[kind]
	if k == nil {
		k = &noticeKind{all: logLimiter{pace: kindPace}, others: logLimiter{pace: subjectPace}, subjects: map[string]*logLimiter{}}
		n.kind[kind] = k
	}
	count := k.of(now, subject).Add(now)
	if count == 0 {
		return 0
	}
	lines := k.all.Add(now) // with those that were due and not logged since the last line
	if lines == 0 {
		return 0
	}
	return count + lines - 1
}

// of returns the limiter of a subject. Those that are idle make room for new ones.
func (k *noticeKind) of(now time.Time, subject string) *logLimiter {
	if l := k.subjects[subject]; l != nil {
		return l
	}
	if len(k.subjects) >= maxNoticed && now.Sub(k.cleared) >= subjectPace.every {
		k.cleared = now
		for old, l := range k.subjects { // map order does not matter: all that are idle go
			if l.idle(now) {
				delete(k.subjects, old)
			}
		}
	}
	if len(k.subjects) >= maxNoticed {
		return &k.others
	}
	l := &logLimiter{pace: subjectPace}
	k.subjects[subject] = l
	return l
}
