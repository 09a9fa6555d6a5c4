package Servers;

# What the servers of the benchmark are configured with: the document of Relay, and
# nginx.conf of each of them, the same but for what they are measured for. Used by
# `run` beside this file.

=head1 SYNOPSIS

    my $servers = Servers->new(
        dir => $dir, root => $root, module => $path, port => \%port);  # ports by target
    my $document = $servers->document(\%relay_keys);  # by policy: bench, crossing
    print $servers->text('plain', $name, $main, $http);  # nginx.conf, with more of both
    print $servers->text('box', $name, '', '', $directives);

=cut

use strict;
use warnings;

use JSON::PP;

my %format = (bench => 'openai-chat', 'bench-messages' => 'anthropic-messages');

sub new {
    my ($class, %o) = @_;
    return bless { %o }, $class;
}

# A host of each format, with a model of its name. Only the policy `crossing` has a
# choice of provider keys.
sub document {
    my ($self, $relay_keys) = @_;
    my $document = {
        pools      => { bench => { members => [{ key => 'bench' }] } },
        policies   => { map { $_ => { pools => [$_] } } qw(bench crossing) },
        relay_keys => $relay_keys,
    };

    for my $host (sort keys %format) {
        $document->{hosts}{$host} = {
            base_url => "http://127.0.0.1:$self->{port}{direct}/v1",
            formats  => [$format{$host}],
            local    => JSON::PP::true,
        };
        $document->{models}{$host} = { offers => [{ host => $host }] };
        $document->{provider_keys}{$host}
            = { host => $host, value => 'bench-provider-key-0123456789' };
        push @{ $document->{pools}{crossing}{members} }, { key => $host };
    }
    return $document;
}

sub text {
    my ($self, $target, $name, $main, $http, $store) = @_;
    my $dir = $self->{dir};
    my $load = $target ne 'plain' && $self->{module} ne 'static' ? "load_module $self->{module};" : '';
    my $user = $> == 0 ? 'user root;' : '';
    my $blocks = $target eq 'plain' ? $self->plain_servers : $self->relay_server($target, $store);

    $_ //= '' for $main, $http;
    return <<"END";
$load
$user
daemon off;
$main
worker_processes 1;
worker_rlimit_nofile 20000;
pid $dir/$name.pid;
error_log $dir/$name.log error;
events { worker_connections 8192; }

http {
    access_log off;
    keepalive_requests 100000000;
    client_max_body_size 32m;
    client_body_buffer_size 1m;
    client_body_temp_path $dir/temp/body;
    proxy_temp_path $dir/temp/proxy;
    fastcgi_temp_path $dir/temp/fastcgi;
    uwsgi_temp_path $dir/temp/uwsgi;
    scgi_temp_path $dir/temp/scgi;
    $http
$blocks
}
END
}

sub plain_servers {
    my ($self) = @_;
    my $port  = $self->{port};
    my $proxy = <<'END';
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
END

    return <<"END";
    upstream provider {
        server 127.0.0.1:$port->{direct};
        keepalive 512;
        keepalive_requests 100000000;
    }
    server {
        listen 127.0.0.1:$port->{plain} backlog=4096;
        location / {
$proxy        }
    }
    server {
        listen 127.0.0.1:$port->{plain_stream} backlog=4096;
        location / {
$proxy            proxy_buffering off;
        }
    }
END
}

sub relay_server {
    my ($self, $target, $store) = @_;
    my $source = $target eq 'module' ? '    relay_config relay.json;'
        : "    relay_config $self->{root}/config/echo.json;\n$store";

    return <<"END";
$source
    server {
        listen 127.0.0.1:$self->{port}{$target} backlog=4096;
        location / { relay_pass; }
    }
END
}

1;
