package sched_test

import (
	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
)

// The laboratory's policies run on the same planner, so the tests of package sched run them
// too. Their package imports sched, so only an external test can hand them in.
func init() {
	sched.AnyPolicy = func(policy string, config sched.Config, without ...string) (sched.Core, error) {
		return policies.New(policy, policies.Config{Config: config, Without: without})
	}
}
