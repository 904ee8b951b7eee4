package protocol

import "time"

// Who answers a request. At every moment exactly one party owns the answer (G1):
//
//  1. A front door owns the answer of each request that it accepted. Before it
//     replies it claims the request (SubmissionBatch.Answered, on the connection of
//     the reply), so that the scheduler removes the request.
//  2. The scheduler owns the answer once it has declared the front door lost, and
//     only of requests whose deadline was at least AnswerLostAfter ago. It declares
//     a front door lost if both hold: the heartbeats are missing, and the broker
//     reports that nobody subscribes to the front door's dispatch and output
//     subjects, so that no message can still reach it. The scheduler claims such a
//     request as a front door does, answers FRONT_DOOR_LOST, and remembers the
//     answer for ten minutes, which is longer than LateReplyFor.
//  3. A front door that was cut off from the broker and keeps running does not know
//     whether it was declared lost meanwhile. Within LateReplyUnasked of the deadline
//     it replies as usual: the scheduler does not answer that early. Later, for a
//     request that it submitted before a connection broke, it asks first: it submits
//     the request again with a budget of 0 or less, in a batch of the epoch that was
//     active when the connection broke. The scheduler answers with a dispatch. Kind
//     Taken: the scheduler has answered the request, so the front door drops it. Kind
//     Yours: the front door owns the answer, claims it and replies; from that
//     dispatch on the scheduler never answers the request. A Refuse does not decide:
//     it may come from another scheduler.
//  4. The question or the dispatch may be lost, so a front door without a dispatch
//     asks again every HeartbeatEvery. A scheduler of another epoch than the one that
//     was active when the connection broke cannot know what that scheduler answered.
//     If that scheduler is gone, the front door owns the answer if its heartbeats
//     were missing for less than half of HeartbeatLost (no scheduler can have
//     declared it lost); otherwise it does not reply: no answer is better than two.
const (
	// LateReplyUnasked is how long after its deadline a request may be answered without
	// asking, by a front door that lost a connection after it submitted the request.
	LateReplyUnasked = 25 * time.Millisecond
	// AnswerLostAfter is how long after its deadline the scheduler answers a request of
	// a lost front door: twice LateReplyUnasked. In addition, clocks may drift apart by
	// AnswerLostDrift of the budget.
	AnswerLostAfter = 2 * LateReplyUnasked
	AnswerLostDrift = 1024 // the 1024th part
	// LateReplyFor is how long after its deadline a reply may be sent at all.
	LateReplyFor = time.Minute
)
