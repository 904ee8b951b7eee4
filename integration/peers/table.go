package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// column is a column of a table: its head, and its value in a result.
type column struct {
	head  string
	value func(r result) string
}

// table is the results of one or several workloads, a row a server.
type table struct {
	workload, title string
	columns         []column
}

// tablesOf writes all tables that have results, as Markdown.
func tablesOf(bare capacity, all []result, servers []string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "A bare session, one thread: squeezenet %.2f ms, shufflenet %.2f, resnet50 %.2f; so one executor serves %.0f squeezenets "+
		"a second, or %.1f of the twelve models of W2. Cells are seed 1 / seed 2.\n", bare["squeezenet"], bare["shufflenet"], bare["resnet50"], bare.of("squeezenet"), bare.ofTwelve())
	for _, t := range tables(all) {
		out.WriteString(t.text(all, servers))
	}
	return out.String()
}

// tables are those of the comparison. Those of W1, W2 and W5 have a column for each load.
func tables(all []result) []table {
	percent := func(f func(r result) float64) func(r result) string {
		return func(r result) string { return fmt.Sprintf("%.1f", f(r)) }
	}
	total := percent(func(r result) float64 { return share(r.Report.Total) })
	p99 := func(r result) string { return ms(r.Report.Total.Latency.P99) }
	refusal := func(r result) string {
		if refused, _ := refusedAndFailed(r.Report.Total); refused == 0 {
			return "–"
		}
		return ms(r.Report.Refused.P50)
	}
	cost := func(r result) string {
		return fmt.Sprintf("%.1f", 1000*r.ServerS/float64(max(r.Report.Total.InSLO, 1)))
	}
	failed := func(r result) string { _, n := refusedAndFailed(r.Report.Total); return fmt.Sprint(n) }
	pss := func(r result) string { return fmt.Sprintf("%.2f", r.PSSMiB/1024) }
	of := func(name string) func(r result) string {
		return percent(func(r result) float64 { return share(r.model(name)) })
	}
	during := func(from, to time.Duration) func(r result) string {
		return percent(func(r result) float64 { return shareBetween(r.Report.Series, from, to) })
	}
	const burst, after, end = 10 * time.Second, 15 * time.Second, 25 * time.Second
	return []table{
		byLoad("w1", "W1, one model, SLO 100 ms: in SLO, %", total, all),
		byLoad("w1", "W1: p99 of what was answered, ms", p99, all),
		byLoad("w1", "W1: p50 of refusals, ms", refusal, all),
		byLoad("w1", "W1: without an answer, or failed", failed, all),
		byLoad("w1", "W1: the server's processor time for each request in SLO, ms", cost, all),
		byLoad("w1", "W1: memory (PSS) at the end, GiB", pss, all),
		byLoad("w2", "W2, twelve models, SLO 50 ms and of resnet50 367 ms: in SLO, %", total, all),
		{"w3", "W3, half load, 5 s of 300 %, half load: in SLO, %", []column{
			{"before", during(0, burst)}, {"burst", during(burst, after)}, {"after", during(after, end)},
			{"back after, s", func(r result) string { return back(recovery(r.Report.Series, after)) }},
		}},
		{"w4", "W4, squeezenets (SLO 50 ms) beside twice as many resnet50 as one executor serves", []column{
			{"squeezenet in SLO, %", of("m01")}, {"p99, ms", func(r result) string { return ms(r.model("m01").Latency.P99) }},
			{"resnet50 in SLO, %", of("m03")}, {"resnet50 in SLO, per s", func(r result) string { return fmt.Sprintf("%.1f", r.model("m03").Goodput) }},
		}},
		byLoad("w5", "W5, three squeezenets: in SLO of 25 ms, %", of("m01"), all),
		byLoad("w5", "W5: in SLO of 100 ms, %", of("m04"), all),
		byLoad("w5", "W5: in SLO of 400 ms, %", of("m07"), all),
		{"w6", "W6, a day of twelve models, and a flash crowd for one: in SLO, %", []column{
			{"all", total}, {"while the crowd is there", during(14*time.Second, 18*time.Second)},
			{"the crowd's model", of("m10")}, {"the most popular", of("m01")}, {"the rarest", of("m12")},
		}},
		{starts, "Started with twelve models that it knew, then left alone", []column{
			{"first answers, s", func(r result) string { return fmt.Sprintf("%.2f", r.ReadyS) }}, {"memory (PSS), GiB", pss},
			{"processor, % of one", func(r result) string { return fmt.Sprintf("%.1f", 100*r.ServerS/idleFor.Seconds()) }},
		}},
	}
}

func back(d time.Duration) string {
	if d < 0 {
		return "never"
	}
	return fmt.Sprintf("%.2f", d.Seconds())
}

// byLoad is a table with a column for each load of a workload.
func byLoad(workload, title string, value func(r result) string, all []result) table {
	var loads []float64
	for _, r := range all {
		if r.Workload == workload && !slices.Contains(loads, r.Load) {
			loads = append(loads, r.Load)
		}
	}
	slices.Sort(loads)
	t := table{workload: workload, title: title}
	for _, load := range loads {
		t.columns = append(t.columns, column{fmt.Sprintf("%.0f %%", 100*load), func(r result) string {
			if r.Load != load {
				return ""
			}
			return value(r)
		}})
	}
	return t
}

// text is the table in Markdown, "" without results.
func (t table) text(all []result, servers []string) string {
	var rows strings.Builder
	for _, server := range servers {
		var mine []result
		for _, r := range all {
			if r.Workload == t.workload && r.Server == server {
				mine = append(mine, r)
			}
		}
		if len(mine) > 0 {
			slices.SortStableFunc(mine, func(a, b result) int { return int(a.Seed) - int(b.Seed) })
			fmt.Fprintf(&rows, "| %s | %s |\n", server, strings.Join(t.cells(mine), " | "))
		}
	}
	if rows.Len() == 0 {
		return ""
	}
	var heads []string
	for _, c := range t.columns {
		heads = append(heads, c.head)
	}
	return fmt.Sprintf("\n%s:\n\n| | %s |\n|---|%s\n%s", t.title, strings.Join(heads, " | "), strings.Repeat("---|", len(heads)), rows.String())
}

// cells are a server's values: of each column those of all seeds.
func (t table) cells(mine []result) (all []string) {
	for _, c := range t.columns {
		var values []string
		for _, r := range mine {
			if v := c.value(r); v != "" {
				values = append(values, v)
			}
		}
		all = append(all, strings.Join(values, " / "))
	}
	return all
}
