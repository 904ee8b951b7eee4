package quota

import (
	"testing"

	"clockwork/pkg/purity"
)

func TestPackageIsPure(t *testing.T) { purity.Check(t) }
