//go:build linux && !static

package onnx

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// channel is one end of a stream of frames between a worker and an executor: a length of
// four bytes, then as many bytes. A frame may carry one file. One goroutine at a time
// sends, and one receives.
//
// Invariant: in each direction one frame at most is under way, so that a file belongs to
// the frame with which it is read.
type channel struct {
	conn socket
	in   []byte // received and not yet consumed
	buf  []byte // memory of in and of the last frame
	out  []byte // memory of the frame being sent
}

// socket is one end of a socket pair: a *net.UnixConn, or a blocking one.
type socket interface {
	io.WriteCloser
	WriteMsgUnix(b, oob []byte, to *net.UnixAddr) (n, oobn int, err error)
	ReadMsgUnix(b, oob []byte) (n, oobn, flags int, from *net.UnixAddr, err error)
}

// maxFrame bounds a frame, in bytes: the list of a model's weights is the largest.
const maxFrame = 16 << 20

var errFrame = errors.New("a frame is longer than its limit, or is not what was expected")

// newChannel returns a channel, and the file of its other end, for a child process.
func newChannel() (*channel, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	other := os.NewFile(uintptr(pair[1]), "executor")
	c, err := openChannel(os.NewFile(uintptr(pair[0]), "worker"))
	if err != nil {
		other.Close()
		return nil, nil, err
	}
	return c, other, nil
}

// openChannel takes over a file that is one end of a socket pair.
func openChannel(file *os.File) (*channel, error) {
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	c, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("open socket: it is a %T", conn)
	}
	return &channel{conn: c, buf: make([]byte, 512)}, nil
}

// openBlocking is openChannel for a thread that does nothing else: it waits in the system
// instead of in Go's scheduler, which saves waking a second thread for each frame. Nobody
// can end the wait but the other end.
func openBlocking(file *os.File) (*channel, error) {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	file.Close()
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	return &channel{conn: blockingSocket(fd), buf: make([]byte, 512)}, nil
}

// blockingSocket is the file descriptor of a socket.
type blockingSocket int

func (s blockingSocket) Close() error { return unix.Close(int(s)) }

func (s blockingSocket) Write(b []byte) (int, error) {
	for all := b; ; {
		n, err := unix.Write(int(s), all)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return len(b) - len(all), err
		case n == len(all):
			return len(b), nil
		default:
			all = all[n:]
		}
	}
}

func (s blockingSocket) WriteMsgUnix(b, oob []byte, _ *net.UnixAddr) (n, oobn int, err error) {
	for {
		if n, err = unix.SendmsgN(int(s), b, oob, nil, 0); err != unix.EINTR {
			return n, len(oob), err
		}
	}
}

func (s blockingSocket) ReadMsgUnix(b, oob []byte) (n, oobn, flags int, from *net.UnixAddr, err error) {
	for {
		if n, oobn, flags, _, err = unix.Recvmsg(int(s), b, oob, unix.MSG_CMSG_CLOEXEC); err != unix.EINTR {
			return n, oobn, flags, nil, err
		}
	}
}

func (c *channel) close() { _ = c.conn.Close() }

// send sends a value as JSON, with a file unless it is nil.
func (c *channel) send(v any, file *os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	return c.sendFrame(body, file)
}

func (c *channel) sendFrame(body []byte, file *os.File) error {
	c.out = append(binary.LittleEndian.AppendUint32(c.out[:0], uint32(len(body))), body...)
	rest := c.out
	if file != nil {
		n, _, err := c.conn.WriteMsgUnix(rest, unix.UnixRights(int(file.Fd())), nil)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	if len(rest) == 0 {
		return nil
	}
	_, err := c.conn.Write(rest)
	return err
}

// receive decodes the next frame, which must be JSON; a file that comes along is closed.
func (c *channel) receive(v any) error {
	file, err := c.receiveFile(v)
	if file != nil {
		file.Close()
	}
	return err
}

// receiveFile decodes the next frame, which must be JSON, and returns the file that came along,
// nil for none or with an error.
func (c *channel) receiveFile(v any) (*os.File, error) {
	body, file, err := c.receiveFrame()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, v); err != nil {
		if file != nil {
			file.Close()
		}
		return nil, errFrame
	}
	return file, nil
}

// receiveFrame returns the next frame and the file that came with it, nil for none. The
// frame is valid until the next call. io.EOF: the other end is closed.
func (c *channel) receiveFrame() (body []byte, file *os.File, err error) {
	defer func() {
		if err != nil && file != nil {
			file.Close()
			file = nil
		}
	}()
	for {
		if len(c.in) >= 4 {
			size := int64(binary.LittleEndian.Uint32(c.in))
			if size > maxFrame {
				return nil, file, errFrame
			}
			if whole := 4 + int(size); len(c.in) >= whole {
				body, c.in = c.in[4:whole], c.in[whole:]
				return body, file, nil
			} else if whole > len(c.buf) {
				c.buf = append(make([]byte, 0, whole), c.in...)[:whole]
				c.in = c.buf[:len(c.in)]
			}
		}
		came, err := c.fill()
		if came != nil {
			if file != nil {
				came.Close()
				return nil, file, errFrame
			}
			file = came
		}
		if err != nil {
			return nil, file, err
		}
	}
}

// fill reads what has arrived, after the bytes that are in the buffer already.
func (c *channel) fill() (*os.File, error) {
	c.in = c.buf[:copy(c.buf, c.in)]
	rights := make([]byte, unix.CmsgSpace(4))
	n, rn, _, _, err := c.conn.ReadMsgUnix(c.buf[len(c.in):], rights)
	file, failure := openRights(rights[:rn])
	switch {
	case err != nil:
		return file, err
	case failure != nil:
		return file, failure
	case n == 0:
		return file, io.EOF
	}
	c.in = c.buf[:len(c.in)+n]
	return file, nil
}

// openRights returns the file of a control message.
func openRights(b []byte) (*os.File, error) {
	if len(b) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return nil, fmt.Errorf("parse control message: %w", err)
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // of another kind
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "shared memory"))
		}
	}
	if len(files) == 1 {
		return files[0], nil
	}
	for _, f := range files {
		f.Close()
	}
	return nil, errFrame
}
