package protocol

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// A lane carries the requests of some clients with names, apart from those of all others: a
// front door takes each on a connection of its own, so that the broker queues a flood in the
// lane of whoever sends it. The broker puts requests into lanes (LaneMapping); clients publish
// on InferBy, and need not know of it. Requests without a client's name are in none.

// Lanes is how many lanes there are.
const Lanes = 16

// LaneOf returns the number of a client's lane, as nats-server computes it for
// partition(16, ...).
func LaneOf(client string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(client)) // never fails
	return int(h.Sum32() % Lanes)
}

// Lane returns the subject of all requests in a lane, LaneAll those of any lane.
func (s Subjects) Lane(number int) string { return s.Prefix + ".lane." + strconv.Itoa(number) + ".>" }
func (s Subjects) LaneAll() string        { return s.Prefix + ".lane.>" }

// LaneBy returns the subject that InferBy becomes in a lane. What a client may publish, the
// broker checks on this one and not on InferBy.
func (s Subjects) LaneBy(model, client string) string {
	return s.Prefix + ".lane." + strconv.Itoa(LaneOf(client)) + "." + model + "." + client
}

// LaneMapping returns the mapping of subjects, in nats-server's terms, that puts requests into
// lanes.
func (s Subjects) LaneMapping() (from, to string) {
	return s.InferBy("*", "*"), s.Prefix + ".lane.{{partition(" + strconv.Itoa(Lanes) + ",2)}}.{{wildcard(1)}}.{{wildcard(2)}}"
}

// Asked returns the subject on which a client published what arrives on a subject, or is
// refused there: InferBy for one of a lane, and whether it is one.
func (s Subjects) Asked(subject string) (asked string, inLane bool) {
	if !s.InLane(subject) {
		return subject, false
	}
	return s.InferBy(s.Inferred(subject)), true
}

// InLane reports whether the subject of a request is one of a lane.
func (s Subjects) InLane(subject string) bool {
	_, in := s.inLane(subject)
	return in
}

// inLane returns what follows the number of the lane.
func (s Subjects) inLane(subject string) (rest string, in bool) {
	rest, in = strings.CutPrefix(subject, s.Prefix+".lane.")
	_, rest, _ = strings.Cut(rest, ".")
	return rest, in
}
