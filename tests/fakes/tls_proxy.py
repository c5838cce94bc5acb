"""A reverse proxy that ends TLS with a certificate of its own making, as one in front of the pages does."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bus.clock import utc_now


def make_certificate(folder: Path, name: str) -> Path:
    """Write a certificate for a host name, signed by itself, and its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = utc_now()
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class TlsProxy:
    """Passes each request on with who asked and by which scheme, one request for each connection.

    Args:
        certificate: certificate and key in one file.
        port: where the pages are.
        headers: what it adds to each request.
    """

    def __init__(self, certificate: Path, port: int, headers: dict[str, str]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._behind = ("127.0.0.1", port)
        self._added = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            with self._context.wrap_socket(plain, server_side=True) as asking:
                head = b""
                while b"\r\n\r\n" not in head:
                    part = asking.recv(65536)
                    if not part:
                        return
                    head += part
                lines, _, body = head.partition(b"\r\n\r\n")
                first, *rest = lines.split(b"\r\n")
                kept = [line for line in rest if not line.lower().startswith(b"connection:")]
                with socket.create_connection(self._behind) as behind:
                    self._open += [asking, behind]
                    added = self._added + b"Connection: close\r\n"
                    behind.sendall(first + b"\r\n" + added + b"\r\n".join(kept) + b"\r\n\r\n" + body)
                    back = threading.Thread(target=_pass_on, args=(behind, asking), daemon=True)
                    back.start()
                    missing = _length(kept) - len(body)
                    while missing > 0:
                        part = asking.recv(65536)
                        missing -= len(part) or missing
                        behind.sendall(part)
                    back.join()
        except OSError:
            return


def _length(lines: list[bytes]) -> int:
    found = [line.partition(b":")[2] for line in lines if line.lower().startswith(b"content-length:")]
    return int(found[0]) if found else 0


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
