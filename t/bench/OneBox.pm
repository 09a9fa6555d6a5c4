package OneBox;

# What the worker of a box has beside itself: a Redis in which a signed set of
# documents was published, the whole catalog among them, and relay keys. relayd
# and Postgres are on no request's path, so Relay::Store stands for them. Used by
# `run` beside this file.

=head1 SYNOPSIS

    my $box = OneBox->new($catalog, $configuration, $key);  # paths and documents
    $box->pin($cpu);                      # redis-server, to this CPU
    print $box->directives("$dir/state"); # for the http block of nginx
    $box->fill(10000);                    # more relay keys
    my $said = $box->offer('new-model');  # in the next revision; when it was told

=cut

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Time::HiRes qw(time);

# Its packages are those of the tests.
eval { require Relay::Store } or die "bench: $@\nbench: run: make test-deps\n";

my $json = JSON::PP->new->canonical->utf8;

# The configuration is as for relay_config, without relay keys.
sub new {
    my ($class, $catalog, $configuration, $key) = @_;
    my $store = Relay::Store->new;
    my $self  = bless { store => $store, workspace => $store->sealed($configuration) }, $class;

    $store->publish(catalog_documents($catalog), 'workspace/default' => $self->{workspace});
    $store->key(name => 'bench', policy => 'bench', secret => $key);
    return $self;
}

# As relayd divides it: without what only people and accounting want to know.
sub catalog_documents {
    my ($catalog) = @_;
    my %documents = ('catalog/hosts' => { hosts => $catalog->{hosts} });

    delete $_->{facts} for values %{ $catalog->{hosts} };

    for my $name (keys %{ $catalog->{models} }) {
        my $model  = $catalog->{models}{$name};
        my $vendor = ($model->{owned_by} // 'other') =~ s/[^A-Za-z0-9_-]/-/gr;

        delete $model->{facts};
        delete @$_{qw(facts pricing)} for @{ $model->{offers} || [] };
        $documents{"catalog/models/$vendor"}{models}{$name} = $model;
    }
    return %documents;
}

sub pin {
    my ($self, $cpu) = @_;
    system("taskset -a -p -c $cpu $self->{store}{pid} >/dev/null") == 0 or die "bench: taskset\n";
}

sub directives {
    my ($self, $state) = @_;
    return $self->{store}->directives =~ s/(relay_store_state) [^;]+/$1 $state/r;
}

# Nobody asks for them, so one signature is enough for all.
sub fill {
    my ($self, $count) = @_;
    my $store = $self->{store};
    my ($signature, %record) = $store->sign('relay-key-1', 'of none of them');

    for my $number (1 .. $count) {
        %record = (sha256 => sha256_hex("bench-key-of-many-$number"), id => "rk_$number",
            workspace => 'default', policy => 'bench', revision => $number);
        $store->put_key($record{sha256}, $json->encode(\%record), $signature, 1);
    }
}

# One more model on the host of the others. The time is that of telling the
# workers: the documents are there before.
sub offer {
    my ($self, $model) = @_;
    my $store = $self->{store};
    my $known = $self->{workspace}{models}{bench};

    $self->{workspace}{models}{$model} = $known;
    $store->{documents}{'workspace/default'} = $store->encode($self->{workspace});
    $store->{revision}++;
    $store->put_documents;

    my ($head, $said) = ($store->head, time);
    $store->put_head($head);
    return $said;
}

1;
