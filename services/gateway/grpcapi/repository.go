package grpcapi

import (
	"context"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/grpcapi/oippb"
)

func (s *Server) repositoryIndex(_ context.Context, in *oippb.RepositoryIndexRequest) (*oippb.RepositoryIndexResponse, *protocol.Error) {
	list, absent := s.oip.Index(in.Ready)
	out := &oippb.RepositoryIndexResponse{}
	for _, m := range list {
		out.Models = append(out.Models, &oippb.RepositoryIndexResponse_ModelIndex{Name: m.Name, Version: m.Version, State: m.State, Reason: m.Reason})
	}
	return out, absent
}

func (s *Server) repositoryModelLoad(_ context.Context, in *oippb.RepositoryModelLoadRequest) (*oippb.RepositoryModelLoadResponse, *protocol.Error) {
	return &oippb.RepositoryModelLoadResponse{}, s.oip.Load(in.ModelName)
}

func (s *Server) repositoryModelUnload(_ context.Context, in *oippb.RepositoryModelUnloadRequest) (*oippb.RepositoryModelUnloadResponse, *protocol.Error) {
	return &oippb.RepositoryModelUnloadResponse{}, s.oip.Unload(in.ModelName)
}
