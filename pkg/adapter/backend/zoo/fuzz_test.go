package zoo

import (
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
)

// FuzzTable: a table is read as networks that take some time and hold some bytes,
// or refused.
func FuzzTable(f *testing.F) {
	f.Add(table)
	f.Add(processorTable)
	for _, seed := range []string{"", "a\n", "a,b\n\"", "name,in,out,weights,transfer,1,2,4,8,16\nx,602112,4000,1e6,1,1,2,3,4,5\n",
		"n,i,o,w,t,1,2,4,8,16\nx,NaN,4,1,1,1,1,1,1,1\n", "n,i,o,w,t,1,2,4,8,16\nx,1,4,1,1,1,1,1,1,1e300\n", "n,i,o,w,t,1,2,4,8,16\n,1,4,1,1,1,1,1,1,1\n", "n,i\nx,1\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		hostile.Within(t, 256*len(text)+1<<20, "a table", func() {
			networks, err := read(text)
			if err != nil {
				return
			}
			for _, n := range networks {
				if !protocol.ValidName(n.Name) || n.Weights < 0 || n.Transfer < 0 || len(n.executions()) != len(protocol.BatchSizes) {
					t.Fatalf("%+v", n)
				}
				for batch := 1; batch <= 17; batch++ {
					if n.Execution(batch) < 0 {
						t.Fatalf("%s takes %v at batch %d", n.Name, n.Execution(batch), batch)
					}
				}
			}
		})
	})
}
