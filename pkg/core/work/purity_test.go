package work

import (
	"testing"

	"clockwork/pkg/testkit/purity"
)

func TestPackageIsPure(t *testing.T) { purity.Check(t) }
