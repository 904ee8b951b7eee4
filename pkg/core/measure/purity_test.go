package measure

import (
	"testing"

	"clockwork/pkg/testkit/purity"
)

func TestPackageIsPure(t *testing.T) { purity.Check(t) }
