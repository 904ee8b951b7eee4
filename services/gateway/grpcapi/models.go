package grpcapi

import (
	"context"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/grpcapi/oippb"
	"clockwork/services/gateway/oip"
)

func (s *Server) modelMetadata(_ context.Context, in *oippb.ModelMetadataRequest) (*oippb.ModelMetadataResponse, *protocol.Error) {
	spec, refusal := s.oip.Model(in.Name, in.Version)
	if refusal != nil {
		return nil, refusal
	}
	m := oip.MetadataOf(&spec)
	return &oippb.ModelMetadataResponse{
		Name: m.Name, Versions: m.Versions, Platform: m.Platform, Inputs: tensors(m.Inputs), Outputs: tensors(m.Outputs),
	}, nil
}

func tensors(of []oip.TensorMetadata) []*oippb.ModelMetadataResponse_TensorMetadata {
	list := make([]*oippb.ModelMetadataResponse_TensorMetadata, 0, len(of))
	for _, t := range of {
		list = append(list, &oippb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: string(t.Datatype), Shape: t.Shape})
	}
	return list
}

func (s *Server) modelConfig(_ context.Context, in *oippb.ModelConfigRequest) (*oippb.ModelConfigResponse, *protocol.Error) {
	spec, refusal := s.oip.Model(in.Name, in.Version)
	if refusal != nil {
		return nil, refusal
	}
	c := oip.ConfigOf(&spec)
	config := &oippb.ModelConfig{Name: c.Name, Platform: c.Platform, MaxBatchSize: int32(c.MaxBatch)}
	for _, t := range c.Inputs {
		config.Input = append(config.Input, &oippb.ModelInput{Name: t.Name, DataType: datatype(t.Type), Dims: t.Dims})
	}
	for _, t := range c.Outputs {
		config.Output = append(config.Output, &oippb.ModelOutput{Name: t.Name, DataType: datatype(t.Type), Dims: t.Dims})
	}
	return &oippb.ModelConfigResponse{Config: config}, nil
}

func datatype(name string) oippb.DataType { return oippb.DataType(oippb.DataType_value[name]) }
