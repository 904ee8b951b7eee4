package grpcapi

import (
	"context"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/grpcapi/oippb"
	"clockwork/services/gateway/oip"
)

func (s *Server) modelStatistics(_ context.Context, in *oippb.ModelStatisticsRequest) (*oippb.ModelStatisticsResponse, *protocol.Error) {
	list, refusal := s.oip.Statistics(in.Name, in.Version)
	if refusal != nil {
		return nil, refusal
	}
	out := &oippb.ModelStatisticsResponse{}
	for i := range list {
		out.ModelStats = append(out.ModelStats, statistics(&list[i]))
	}
	return out, nil
}

func statistics(m *oip.ModelStatistics) *oippb.ModelStatistics {
	i := &m.Stats
	out := &oippb.ModelStatistics{
		Name: m.Name, Version: m.Version, LastInference: m.Last, InferenceCount: m.Inferences, ExecutionCount: m.Executions,
		InferenceStats: &oippb.InferStatistics{
			Success: duration(i.Success), Fail: duration(i.Fail), Queue: duration(i.Queue),
			ComputeInput: duration(i.Input), ComputeInfer: duration(i.Infer), ComputeOutput: duration(i.Output),
			CacheHit: duration(i.CacheHit), CacheMiss: duration(i.CacheMiss),
		},
	}
	for _, b := range m.Batches {
		out.BatchStats = append(out.BatchStats, &oippb.InferBatchStatistics{
			BatchSize: uint64(b.Size), ComputeInput: duration(b.Input), ComputeInfer: duration(b.Infer), ComputeOutput: duration(b.Output),
		})
	}
	return out
}

func duration(d oip.Duration) *oippb.StatisticDuration {
	return &oippb.StatisticDuration{Count: d.Count, Ns: d.NS}
}
