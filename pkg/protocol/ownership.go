package protocol

import "time"

// Who answers a request. At every moment exactly one party owns the answer (G1):
//
//  1. A front door owns the answer of each request that it accepted. Before it
//     replies it claims the request (SubmissionBatch.Answered, on the connection
//     of the reply), so that the scheduler strikes it out.
//  2. The scheduler owns it from the moment at which it has declared the front
//     door lost, and only of requests that were due AnswerLostAfter ago. To declare
//     it lost takes both: its heartbeats are missing, and the broker says that
//     nobody listens on its dispatch and its output subject, so that nothing can
//     arrive of it any more. The scheduler claims such a request like a front
//     door, answers FRONT_DOOR_LOST, and remembers that it did (until its term
//     ends).
//  3. A front door that was cut off from the broker and lives on does not know
//     what was declared meanwhile. Within LateReplyUnasked of the deadline it
//     replies as ever: the scheduler is not that early. Later, for a request that
//     it submitted before a connection broke, it asks first: it submits the
//     request again with a budget of 0 or less, in a batch of the epoch that was
//     active when the connection broke. The scheduler's word is a dispatch. Kind
//     Taken says: the scheduler has answered it, drop it. Kind Yours says: the
//     front door owns the answer, so it claims it and replies; from that word on
//     the scheduler does not answer it, whatever happens. A Refuse is no word: it
//     may be of another scheduler.
//  4. A question or a word may be lost, so a front door without one asks again,
//     every HeartbeatEvery. A scheduler of another epoch than the one that was
//     active when the connection broke cannot know what that one answered. Where
//     that one is gone, the answer is the front door's own if its heartbeats stayed
//     out for less than half of HeartbeatLost (nobody can have missed it), and else
//     there is none of ours: none is better than two.
const (
	// LateReplyUnasked is how long after its deadline a front door that lost a
	// connection since it submitted a request replies to it without a question.
	LateReplyUnasked = 25 * time.Millisecond
	// AnswerLostAfter is how long after its deadline the scheduler answers a
	// request of a lost front door: twice LateReplyUnasked. Clocks may run apart by
	// AnswerLostDrift of the budget besides.
	AnswerLostAfter = 2 * LateReplyUnasked
	AnswerLostDrift = 1024 // the 1024th part
	// LateReplyFor is how long after its deadline a reply may come at all.
	LateReplyFor = time.Minute
)
