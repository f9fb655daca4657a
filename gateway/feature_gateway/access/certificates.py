"""The identity of a client certificate, whose chain TLS has verified; pure."""

from cryptography import x509

from feature_gateway.access.identity import Identity
from feature_gateway.access.refusals import CredentialsError

# An URI first: it is what SPIFFE and service meshes name workloads by.
_KINDS = (x509.UniformResourceIdentifier, x509.DNSName, x509.RFC822Name)
_PEM = b"-----BEGIN"


def identity_of(certificate: bytes) -> Identity:
    """Return the identity of a certificate in PEM or DER: its first URI, else its first DNS name, else e-mail address.

    The common name is not looked at. Raises CredentialsError for a certificate without any of these.
    """
    try:
        parsed = (
            x509.load_pem_x509_certificate(certificate)
            if certificate.startswith(_PEM)
            else x509.load_der_x509_certificate(certificate)
        )
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise CredentialsError("the certificate has no names, or can't be read") from error
    for kind in _KINDS:
        found = names.get_values_for_type(kind)
        if found:
            return Identity(f"mtls:{found[0]}", parsed.not_valid_after_utc.timestamp())
    raise CredentialsError("the certificate has no URI, DNS name or e-mail address")
