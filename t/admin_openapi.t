# The OpenAPI document and the live routes, both ways: what is documented
# answers as documented, what answers is documented. (That every response of
# every test fits its schema is checked where tests send requests.)

use lib 't/lib';
use JSON::PP ();
use Relay::Admin;

my $admin = Relay::Admin->begin;
$admin->scene;
$admin->make('api-tokens' => {name => 'robot', role => 'viewer'});
my %operations = %{$admin->operations};
my $document = $admin->openapi;

subtest 'the document' => sub {
    is $document->{openapi}, '3.1.0', 'OpenAPI 3.1';
    my (%ids, %methods);
    $ids{$_->{id}}++ for values %operations;
    my $operations = 0;
    for my $template (keys %{$document->{paths}}) {
        $operations += keys %{$document->{paths}{$template}};
        my %named = map { ($_ => 1) } $template =~ /\{(\w+)\}/g;
        for my $method (keys %{$document->{paths}{$template}}) {
            my $operation = $document->{paths}{$template}{$method};
            my %given = map { ($_->{name} => 1) } grep { $_->{in} eq 'path' } @{$operation->{parameters}};
            is_deeply \%given, \%named, "$method $template: parameters of the path";
            ok length $operation->{summary}, '... a summary';
            ok !grep({ !length($_->{name}) || !$_->{schema} } @{$operation->{parameters}}), '... parameters with schemas';
        }
    }
    is scalar keys %operations, $operations, 'operation ids are unique';
    ok !grep({ /[^A-Za-z]/ } keys %operations), '... and names';
    my $text = $admin->encode($document);
    my %referred;
    $referred{$1}++ while $text =~ m{"#/components/(\w+/[^"]+)"}g;
    is_deeply [grep { my ($kind, $name) = split m{/}; !$document->{components}{$kind}{$name} } keys %referred], [], 'no reference leads nowhere';
    is_deeply [grep { !$referred{"schemas/$_"} } keys %{$document->{components}{schemas}}], [], 'no schema is left over';
    my @bare;
    for my $name (sort keys %{$document->{components}{schemas}}) {
        next if $name eq 'Problem';
        my $schema = $document->{components}{schemas}{$name};
        for my $property (sort keys %{$schema->{properties} || {}}) {
            push @bare, "$name.$property" if !length($schema->{properties}{$property}{description} // '');
        }
    }
    is_deeply \@bare, [], 'every member is described';
};

subtest 'what is documented answers' => sub {
    my %rest = %operations;
    for my $id (sort keys %operations) {
        my $operation = $operations{$id};
        ok defined $operation->{path}, "$id is tried" or next;
        is $operation->{path} =~ s/\?.*//r, (($admin->operation($operation->{method}, $operation->{path}))[0] // '') eq $operation->{template}
            ? $operation->{path} : $operation->{template}, '... on its path';
        my $path = $operation->{path} . ($operation->{takes}{dry_run} && $operation->{scope} ? '?dry_run=true' : '');
        my $res = $admin->request($operation->{method} => $path, body => $operation->{body} || undef,
            headers => [$operation->{takes}{'If-Match'} ? ('If-Match' => '*') : ()]);
        is $res->status, $operation->{status}, '... as it says' or diag substr $res->body, 0, 300;
        ok $operation->{document}{responses}{$res->status} || $operation->{document}{responses}{default} && $res->status >= 400,
            '... with a documented status';
        for my $header ($res->status < 300 ? sort keys %{$operation->{document}{responses}{$res->status}{headers}} : ()) {
            next if $header =~ /^(?:Idempotency-Replayed|Relay-Revision)$/ || $header eq 'dry_run' && !$operation->{scope};
            next if $header eq 'ETag' && $operation->{method} =~ /^(?:DELETE|POST)$/ && $res->status != 201 || $header eq 'ETag' && $id =~ /^export/;
            ok defined $res->header($header), "... with $header";
        }
    }
};

subtest 'what answers is documented' => sub {
    my @failed;
    my %tried;
    for my $operation (values %operations) {
        for my $method (qw(GET HEAD POST PUT PATCH DELETE OPTIONS)) {
            next if $tried{"$method $operation->{template}"}++;
            my $known = $document->{paths}{$operation->{template}}{lc($method eq 'HEAD' ? 'get' : $method)};
            next if $known;
            my $res = $admin->quick($method, $operation->{path}, undef);
            push @failed, "$method $operation->{path}: " . $res->status if $res->status != 405;
            my %allowed = map { (uc $_ => 1) } keys %{$document->{paths}{$operation->{template}}};
            $allowed{HEAD} = 1 if $allowed{GET};
            my $allow = join ',', sort split /, /, $res->header('allow') // '';
            push @failed, "$method $operation->{path}: Allow: $allow" if $allow ne join ',', sort keys %allowed;
        }
    }
    is scalar @failed, 0, 'other methods are not there' or diag map { "$_\n" } @failed;

    # What a router might take by mistake: parts left out, added, repeated.
    my (%wrong, @taken);
    for my $path (map { $_->{path} } values %operations) {
        $wrong{$path . $_}++ for '/', '/x', ':x', '/..', '//', '.json';
        $wrong{$path =~ s{^/api/v1}{}r}++;
        $wrong{$path =~ s{v1}{v2}r}++;
        $wrong{uc $path}++;
        $wrong{$path =~ s{/}{//}r}++;
    }
    for my $path (grep { !($admin->operation(GET => $_))[0] } sort keys %wrong) {
        my $res = $admin->quick(GET => $path, undef);
        push @taken, "$path: " . $res->status if $res->status !~ /^40[045]$/;
    }
    is scalar @taken, 0, keys(%wrong) . ' paths beside them' or diag map { "$_\n" } @taken;
};

subtest 'a harness that finds what does not fit' => sub {
    my $res = $admin->get($admin->path('pools/main'));
    is_deeply [$admin->faults_of(GET => $admin->path('pools/main'), $res)], [], 'a good answer';
    for my $bad (sub { $_[0] =~ s/"version":1/"version":"1"/ }, sub { $_[0] =~ s/"id":"[^"]*",// }, sub { $_[0] =~ s/\{/{"more":1,/ },
        sub { $_[0] =~ s/"strategy":"weighted"/"strategy":"x"/ }, sub { $_[0] =~ s/"created_at":"[^"]*"/"created_at":"x"/ }) {
        my $copy = bless {%$res}, ref $res;
        $bad->($copy->{body});
        isnt $copy->{body}, $res->{body}, 'an answer that is changed';
        ok scalar $admin->faults_of(GET => $admin->path('pools/main'), $copy), '... has a fault';
    }
};

$admin->done;
