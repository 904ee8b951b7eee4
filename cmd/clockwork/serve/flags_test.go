package serve

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"clockwork/pkg/core/sched"
)

// --policy takes what the core makes for a service, and nothing of the laboratory.
func TestAServiceTakesThePoliciesOfTheCore(t *testing.T) {
	flag, _ := reflect.TypeFor[SchedulerFlags]().FieldByName("Policy")
	takes := strings.Split(flag.Tag.Get("enum"), ",")
	slices.Sort(takes)
	if !slices.Equal(takes, sched.Policies()) {
		t.Errorf("--policy takes %v, the core makes %v", takes, sched.Policies())
	}
}
