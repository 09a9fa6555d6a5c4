package Relay::Frames;

# AWS event streams and signatures for the mock provider: binary messages with
# their checksums, and what Signature Version 4 of a request must be, worked out
# apart from the code under test.

=head1 SYNOPSIS

    my $bytes = frame(messageStart => {role => 'assistant'});       # one message
    my $bytes = frame(throttlingException => {message => 'x'}, type => 'exception');
    my $bytes = bytes_frame({type => 'ping'});                      # payload in base64
    is $req->header('authorization'), signature($req, 'AKID', 'secret', 'us-east-1', 'bedrock');

=cut

use strict;
use warnings;
use Compress::Raw::Zlib ();
use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use Exporter qw(import);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);

our @EXPORT = qw(frame bytes_frame signature);

my $json = JSON::PP->new->canonical->utf8;

sub _crc { pack 'N', Compress::Raw::Zlib::crc32($_[0]) }

sub frame {
    my ($name, $payload, %o) = @_;
    my $type = $o{type} || 'event';
    my %header = (':message-type' => $type, ":$type-type" => $name, ':content-type' => 'application/json');
    my $headers = join '', map { pack('C/a C n/a', $_, 7, $header{$_}) } sort keys %header;
    my $body = ref $payload ? $json->encode($payload) : $payload;
    my $prelude = pack 'N N', 16 + length($headers) + length($body), length $headers;
    my $message = $prelude . _crc($prelude) . $headers . $body;
    return $message . _crc($message);
}

sub bytes_frame {
    my ($payload) = @_;
    return frame(chunk => {bytes => encode_base64($json->encode($payload), ''), p => 'abcd'});
}

# The Authorization header that the request must have, from what it says of itself.
sub signature {
    my ($req, $id, $secret, $region, $service) = @_;
    my ($path, $query) = split /\?/, $req->path, 2;
    my $twice = join '/', map { s/([^A-Za-z0-9\-._~])/sprintf '%%%02X', ord $1/ger } split m{/}, $path, -1;
    my $date = $req->header('x-amz-date') || '';
    my ($signed) = ($req->header('authorization') || '') =~ /SignedHeaders=([^,]+)/;
    my @names = split /;/, $signed || '';
    my $request = join "\n", $req->method, $twice, $query || '',
        (map { "$_:" . $req->header($_) } @names), '', $signed || '', sha256_hex($req->body);
    my $day = substr $date, 0, 8;
    my $scope = "$day/$region/$service/aws4_request";
    my $key = "AWS4$secret";
    $key = hmac_sha256($_, $key) for $day, $region, $service, 'aws4_request';
    my $sum = hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $date, $scope, sha256_hex($request)), $key);
    return "AWS4-HMAC-SHA256 Credential=$id/$scope, SignedHeaders=" . ($signed || '') . ", Signature=$sum";
}

1;
